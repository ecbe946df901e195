package quic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// attacker is the peer that plays an attack.
type attacker struct {
	*scripted
	attack *attack
	rng    *rand.Rand
	buf    []byte
	opened []uint64
	ended  map[uint64]bool // streams whose final size the peer has told
	held   [][]byte        // packets that were sealed and not sent
	serves bool            // it answers at once
	ids    uint64          // the last connection ID issued to the connection
}

// attackKinds is what steps do; each name is a case of attacker.step.
var attackKinds = []string{"frames", "frames", "frames", "gaps", "crypto gaps", "paths", "challenges", "acks", "ack all but one", "ack all",
	"pings", "pings apart", "controls", "ids", "datagrams", "wait", "late ack", "write", "write much", "serve", "read", "key update", "handshake",
	"junk"}

func newAttacker(q *quietly, a *attack) *attacker {
	x := &attacker{attack: a, buf: make([]byte, 65535), ended: make(map[uint64]bool)}
	w := uint64(a.window)
	options := []scriptedOption{
		param(0x04, varint(w)), param(0x05, varint(w)), param(0x06, varint(w)), param(0x07, varint(w)),
		param(0x0e, varint(4)), param(0x20, varint(1<<16)),
		func(p *scripted) {
			p.cfg.MaxUDPPayload, p.cfg.MaxDatagramFrameSize = a.payload, 1200
			p.cfg.StreamSendBuffer, p.cfg.StreamReceiveWindow, p.cfg.ReceiveWindow = a.buffers, uint64(a.buffers), uint64(2*a.buffers)
			if a.least > 0 {
				p.params[0x03] = varint(uint64(a.least))
			}
		},
	}
	x.scripted = play(q, a.client, options...)
	x.lossy = true
	return x
}

// play does every step, and looks at the connection after each.
func (x *attacker) play() {
	before := heapInUse()
	flights := x.attack.flights
	if !x.client {
		flights = max(flights, 1) // there is no connection before its client was heard
	}
	for i := 0; i < flights && !x.over(); i++ {
		x.sendTLS()
		if x.complete && x.client && len(x.cryptoOut[protect.OneRTT]) == 0 && x.conn.tls.complete && !x.conn.tls.confirmed {
			x.sendFrames(protect.OneRTT, frame(wire.FrameHandshakeDone))
		}
	}
	large := false
	for _, s := range x.attack.steps {
		if x.over() {
			break
		}
		x.rng = rand.New(rand.NewPCG(s.seed, 1))
		large = large || s.n > 1000
		x.step(s.kind, s.n)
		x.got = nil
		x.check(s.kind)
	}
	if large {
		x.got = nil
		if held := heapInUse() - before; held > maxAttackHeap {
			x.t.Fatalf("memory: a connection holds %d bytes", held)
		}
	}
	x.answers()
}

// maxAttackHeap is what a connection may hold at the most after any attack, in bytes: its windows, 16 MiB of them, are not filled by
// these.
const maxAttackHeap = 24 << 20

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// over tells whether the connection has ended, and judges how.
func (x *attacker) over() bool {
	c := x.conn
	if !c.IsClosed() {
		return false
	}
	x.drain()
	err, ok := c.Err().(*TransportError)
	switch {
	case c.Err() == nil:
		x.t.Fatalf("close: without an error")
	case !ok || err.Remote:
	case err.Code == InternalError:
		x.t.Fatalf("close: %v", err)
	case c.state == stateClosing && x.farewells == 0 && c.path.allowance() >= c.leastDatagram() && err.Code != NoViablePath:
		x.t.Fatalf("silent: closed with %v, and nobody is told", err)
	}
	return true
}

// level draws a level that both can use.
func (x *attacker) level() protect.Slot {
	levels := x.levels()
	return levels[x.rng.IntN(len(levels))]
}

func (x *attacker) levels() (levels []protect.Slot) {
	for _, l := range []protect.Slot{protect.Initial, protect.Handshake, protect.OneRTT} {
		if x.keys.HasWrite(l) && x.conn.spaces[spaceOf(l)] != nil && x.conn.keys.HasRead(l) {
			levels = append(levels, l)
		}
	}
	if levels == nil {
		return []protect.Slot{protect.Initial}
	}
	return levels
}

// quick gives the connection a packet, and takes what it answers without a look at it.
func (x *attacker) quick(remote netip.AddrPort, level protect.Slot, frames ...[]byte) {
	if !x.keys.HasWrite(level) || x.conn.IsClosed() {
		return
	}
	if x.attack.trains && !x.serves && level == protect.OneRTT {
		x.held = append(x.held, x.appendPacket(nil, scriptedPacket{slot: level, frames: frames}, heldSize))
		if x.rng.IntN(8) > 0 {
			return
		}
		x.release(remote)
	} else {
		datagram := x.encode(scriptedPacket{slot: level, frames: frames})
		x.conn.Recv(x.now, Train{Buf: datagram, SegSize: len(datagram), Local: x.local, Remote: remote})
	}
	x.takeAll()
}

// heldSize is how large datagrams are at least that are held back, in bytes, so that they make trains.
const heldSize = 200

// release gives the connection the packets that were held back: in trains and alone, some late, in another order, or twice, as a network
// would, or somebody who copies them.
func (x *attacker) release(remote netip.AddrPort) {
	held := x.held
	x.held = nil
	if x.rng.IntN(2) == 0 {
		x.rng.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	}
	var train []byte
	flush := func() {
		if len(train) > 0 && !x.conn.IsClosed() {
			x.conn.Recv(x.now, Train{Buf: slices.Clone(train), SegSize: heldSize, Local: x.local, Remote: remote, ECN: ECN(x.rng.IntN(4))})
			x.scripted.check()
		}
		if x.rng.IntN(4) == 0 {
			x.takeAll()
		}
		train = train[:0]
	}
	for _, b := range held {
		switch {
		case x.rng.IntN(10) == 0:
			x.held = append(x.held, b)
			continue
		case x.rng.IntN(10) == 0:
			x.held = append(x.held, slices.Clone(b))
		}
		if len(b) != heldSize {
			flush()
			x.conn.Recv(x.now, Train{Buf: slices.Clone(b), SegSize: len(b), Local: x.local, Remote: x.remote})
			continue
		}
		train = append(train, b...)
		if x.rng.IntN(6) == 0 {
			flush()
		}
	}
	flush()
}

// takeAll takes what the connection sends without a look at it, as a rule.
func (x *attacker) takeAll() {
	for n := 0; ; n++ {
		t := x.conn.Send(x.now, x.buf)
		if t.N == 0 {
			return
		}
		if n == 1000 {
			x.t.Fatalf("busy: Send never ends")
		}
		if x.conn.IsClosed() {
			x.farewells++
		}
		if x.rng.IntN(4) == 0 {
			x.read(x.buf[:t.N], t)
		}
	}
}

// read looks into a train.
func (x *attacker) read(train []byte, t Transmit) {
	for len(train) > 0 {
		n := min(t.SegSize, len(train))
		x.datagrams++
		x.receive(train[:n])
		train = train[n:]
	}
}

// wait lets a timer fire, or some time pass if none would.
func (x *attacker) wait() {
	for n := 0; ; n++ {
		at, ok := x.conn.Timeout()
		if !ok {
			x.now = x.now.Add(time.Second)
			return
		}
		past := !at.After(x.now)
		if !past {
			x.now = at
		}
		x.conn.OnTimeout(x.now)
		x.drain()
		if !past {
			return
		}
		if n == 8 {
			x.t.Fatalf("busy: a timer stays in the past")
		}
	}
}

// answers has the connection show that it is alive: it acknowledges a PING, or ends with an error that it tells.
func (x *attacker) answers() {
	if x.over() || !x.conn.path.validated || !x.keys.HasWrite(protect.OneRTT) && x.conn.silenced() {
		return
	}
	x.rng = rand.New(rand.NewPCG(1, 1))
	levels := x.levels()
	level := levels[len(levels)-1]
	if level == protect.OneRTT && !x.conn.canOpen(level) {
		return
	}
	want := x.nextPN[spaceOf(level)]
	x.ignored[wire.FrameAck] = false
	x.sendFrames(level, frame(wire.FramePing))
	for range 100 {
		for _, f := range x.got {
			if a, _, n := wire.ConsumeAck(f.raw, nil); (f.typ == wire.FrameAck || f.typ == wire.FrameAckECN) && n > 0 &&
				f.slot == level && a.Largest >= want {
				return
			}
		}
		if x.over() {
			return
		}
		x.got = nil
		x.wait()
	}
	x.t.Fatalf("silent: a PING at level %d is never acknowledged", level)
}

// check holds what the connection keeps against limits.go.
func (x *attacker) check(kind string) {
	c := x.conn
	x.scripted.check()
	within := func(what string, n, most int) {
		if n > most || n < 0 {
			x.t.Fatalf("bounds: after %q there are %d %s, and %d may be", kind, n, what, most)
		}
	}
	within("PATH_RESPONSE frames", len(c.paths.responses), maxPathResponses)
	within("connection IDs of the peer", len(c.peer.ids), usualConnIDLimit+1)
	within("connection IDs to retire", len(c.peer.retiring), retiredConnIDs*usualConnIDLimit+1)
	within("connection IDs", len(c.local.ids), maxIssuedConnIDs)
	within("datagrams", c.datagrams.in.len(), maxDatagramQueue)
	within("datagrams to send", c.datagrams.out.len(), maxDatagramQueue)
	for sp, s := range c.spaces {
		if s == nil {
			continue
		}
		within(fmt.Sprintf("ranges of packet numbers in space %d", sp), len(s.acks.seen), maxAckRanges)
		within(fmt.Sprintf("pieces of CRYPTO data in space %d", sp), len(s.crypto.received), maxStreamGaps+1)
		within(fmt.Sprintf("chunks of CRYPTO data in space %d", sp), len(s.crypto.in.pieces), maxCryptoBufferHandshake/chunkSize+2)
	}
	if c.hello != nil {
		within("packets before their keys", len(c.hello.early.packets), maxUndecryptable)
	}
	st := &c.streams
	within("bytes of bookkeeping for gaps", st.gaps*gapBytes, maxGapBytes+gapBytes)
	held, streams, toSend := 0, 0, int64(0)
	for s := range st.live.all {
		toSend += s.send.buf.held()
		within(fmt.Sprintf("gaps of stream %d", s.id), len(s.recv.got), maxStreamGaps+1)
		for _, piece := range s.recv.data.pieces {
			held += len(piece)
		}
		streams++
	}
	most := int(min(st.recvWindow.limit-st.recvWindow.consumed, 1<<40)) + 2*chunkSize*streams
	within("bytes received and not read", held, most)
	a := &st.admission
	within("bytes to be sent", int(a.held), maxSendBuffers*c.cfg.MaxStreamSendBuffer+streams*sendBufferFloor)
	if a.held != toSend && !c.IsClosed() {
		x.t.Fatalf("bounds: streams hold %d bytes to be sent, and %d are counted", toSend, a.held)
	}
	for typ := range uint64(4) {
		if t := &st.types[typ]; !st.isLocal(typ) {
			within(fmt.Sprintf("streams of type %d", typ), int(t.opened-t.done), int([2]int64{c.cfg.MaxStreamsBidi, c.cfg.MaxStreamsUni}[typ/2]))
		}
	}
}

// ackOf is an ACK frame for packet numbers of the connection.
func (x *attacker) ackOf(acks ranges.Set, delay uint64) []byte {
	if len(acks) == 0 {
		return frame(wire.FramePing)
	}
	b, ok := wire.AppendAck(nil, acks, delay, nil, 1000)
	if !ok {
		return nil
	}
	return b
}
