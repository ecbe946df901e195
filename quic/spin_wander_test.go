package quic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// TestSpinWander has a client probe, move, abandon paths and be told that datagrams were too large, at random, while a server that holds
// the keys, and may prefer other addresses, sends what it likes from and to any of them: challenges, connection IDs that retire others,
// answers late, twice, or to nothing, acknowledgements of some packets, or of all but the large ones. The client sends to none but the
// server's addresses, nothing but probes where none was answered, under no connection ID from two of its addresses (RFC 9000, section
// 9.5); and once the server is honest, all data arrives.
func TestSpinWander(t *testing.T) {
	eachSeed(t, func(seed uint64) {
		if fault := playWander(t, seed); fault != "" {
			t.Fatalf("seed %d (-spin.seed=%d plays it alone): %s", seed, seed, fault)
		}
	})
}

// wanderer is the server.
type wanderer struct {
	*scripted
	rng      *rand.Rand
	locals   []netip.AddrPort
	remotes  []netip.AddrPort
	dead     map[netip.AddrPort]bool // local addresses where nothing arrives from
	narrow   int                     // datagrams above that size are lost; 0: none
	ids      uint64
	off      uint64
	usedFrom map[string]netip.AddrPort // connection IDs of ours, and where they were used
	proved   map[[2]netip.AddrPort]bool
	forced   bool // the client has moved without an answer, for want of another path
	answers  [][]byte
	buf      []byte
}

func playWander(t *testing.T, seed uint64) (fault string) {
	q := &quietly{TB: t}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case attackFault:
			fault = string(v)
		default:
			fault = fmt.Sprintf("panic: %v\n%s", v, debug.Stack())
		}
		for _, f := range slices.Backward(q.cleanups) {
			f()
		}
	}()
	w := newWanderingPlay(q, seed)
	id, err := w.conn.OpenStream()
	w.must(err)
	for range 200 {
		if w.rng.IntN(3) == 0 {
			w.conn.StreamSend(id, make([]byte, 1+w.rng.IntN(9000)), false)
		}
		w.step()
		if w.conn.IsClosed() {
			return w.judgeEnd()
		}
	}
	clear(w.dead)
	w.narrow = 0
	for range 600 {
		s := w.conn.streams.live.get(id)
		if s == nil || s.send.buf.done() {
			return ""
		}
		w.behave(id)
		if w.conn.IsClosed() {
			return w.judgeEnd()
		}
	}
	return fmt.Sprintf("stall: paths %+v, peer's IDs %+v, retiring %+v", w.conn.Paths(), w.conn.peer.ids, w.conn.peer.retiring)
}

func (w *wanderer) judgeEnd() string {
	var err *TransportError
	if errors.As(w.conn.Err(), &err) && err.Code == NoViablePath {
		return ""
	}
	var idle *IdleTimeoutError
	if errors.As(w.conn.Err(), &idle) {
		return ""
	}
	return fmt.Sprintf("closed: %v", w.conn.Err())
}

func newWanderingPlay(q *quietly, seed uint64) *wanderer {
	w := &wanderer{
		rng: rand.New(rand.NewPCG(seed, 0x3a7)), dead: map[netip.AddrPort]bool{}, usedFrom: map[string]netip.AddrPort{},
		proved: map[[2]netip.AddrPort]bool{}, buf: make([]byte, 65535),
	}
	options := []scriptedOption{param(0x0e, varint(uint64(2+w.rng.IntN(3)))), param(0x20, varint(65535)), func(p *scripted) {
		p.cfg.StreamSendBuffer = 1 << 20
		p.cfg.DisablePMTUD = w.rng.IntN(3) == 0
		p.cfg.MaxUDPPayload = []int{0, 1200, 1201, 1452, 9000, 65527}[w.rng.IntN(6)]
		p.cfg.IgnorePreferredAddress = w.rng.IntN(4) == 0
	}}
	if w.rng.IntN(2) == 0 {
		options = append(options, param(0x03, varint([]uint64{1200, 1201, 1500, 65527}[w.rng.IntN(4)])))
	}
	pref := w.rng.IntN(2) == 0
	if pref {
		options = append(options, preferredParam(preferred4, preferred6))
		w.ids = 1
	}
	w.scripted = newScriptedServer(q, options...)
	w.lossy = true
	w.remotes = []netip.AddrPort{w.remote}
	if pref {
		w.remotes = append(w.remotes, preferred4)
	}
	w.handshake()
	w.proved[[2]netip.AddrPort{w.local, w.remote}] = true
	w.locals = []netip.AddrPort{w.local, wlan, lte, port2, netip.AddrPortFrom(wlan.Addr(), 1), netip.AddrPortFrom(wlan.Addr(), 2)}
	for _, l := range w.locals {
		w.dead[l] = w.rng.IntN(3) == 0
	}
	w.dead[w.local] = false
	w.got = nil
	return w
}

func (w *wanderer) anyLocal() netip.AddrPort  { return w.locals[w.rng.IntN(len(w.locals))] }
func (w *wanderer) anyRemote() netip.AddrPort { return w.remotes[w.rng.IntN(len(w.remotes))] }

func (w *wanderer) newID(retirePriorTo uint64) []byte {
	w.ids++
	return newConnectionIDFrame(w.ids, min(retirePriorTo, w.ids), fmt.Sprintf("peer%04d", w.ids), [16]byte{byte(w.ids), byte(w.ids >> 8), 9})
}

func (w *wanderer) mayIssue() bool {
	p := &w.conn.peer
	return len(p.ids) < usualConnIDLimit && len(p.retiring) < retiredConnIDs*usualConnIDLimit/2 && p.known.Contains(int64(w.ids)) || len(p.known) == 0
}

func (w *wanderer) step() {
	switch w.rng.IntN(14) {
	case 0:
		w.now = w.now.Add(time.Duration(w.rng.IntN(300)) * time.Millisecond)
	case 1, 2:
		if at, ok := w.conn.Timeout(); ok && at.Sub(w.now) < 5*time.Second {
			w.advanceQuietly()
		}
	case 3:
		w.conn.ProbePath(w.now, w.anyLocal(), w.anyRemote())
	case 4:
		w.conn.Migrate(w.now, w.anyLocal(), w.anyRemote())
	case 5:
		w.conn.ProbePath(w.now, w.anyLocal(), netip.AddrPort{})
	case 6:
		if w.rng.IntN(2) == 0 {
			w.conn.AbandonPath(w.now, w.anyLocal(), w.anyRemote())
		}
	case 7:
		w.conn.HandleTooLarge(w.now, w.anyLocal(), w.anyRemote(), 1000+w.rng.IntN(3000))
	case 8:
		w.narrow = []int{0, 0, 1200, 1280, 1400, 1472}[w.rng.IntN(6)]
	case 9:
		if w.rng.IntN(3) == 0 {
			w.conn.KeyUpdate()
		}
	default:
		frames := [][]byte{filler(1)}
		to := w.anyID()
		for range 1 + w.rng.IntN(3) {
			frames = append(frames, w.frame(to))
		}
		w.deliver(w.anyLocal(), w.anyRemote(), w.encode(scriptedPacket{slot: protect.OneRTT, dstID: to, frames: frames}))
	}
	w.check()
	w.look()
}

func (w *wanderer) advanceQuietly() {
	at, _ := w.conn.Timeout()
	if at.After(w.now) {
		w.now = at
	}
	w.conn.OnTimeout(w.now)
}

func (w *wanderer) deliver(local, remote netip.AddrPort, b []byte) {
	w.conn.Recv(w.now, Train{Buf: b, SegSize: len(b), Local: local, Remote: remote})
}

func (w *wanderer) anyID() []byte {
	ids := w.conn.local.ids
	return ids[w.rng.IntN(len(ids))].id.Bytes()
}

func (w *wanderer) frame(to []byte) []byte {
	switch w.rng.IntN(10) {
	case 0:
		return frame(wire.FramePing)
	case 1:
		return binary.BigEndian.AppendUint64(frame(wire.FramePathChallenge), w.rng.Uint64())
	case 2, 3:
		return w.ackReceived(protect.OneRTT)
	case 4:
		w.off++
		return streamFrame(1, w.off-1, "x", false)
	case 5:
		if w.mayIssue() {
			return w.newID(uint64(max(0, w.rng.IntN(6)-4)) * w.rng.Uint64N(w.ids+2))
		}
	case 6:
		ids := w.conn.local.ids
		if id := ids[w.rng.IntN(len(ids))]; string(id.id.Bytes()) != string(to) {
			return frame(wire.FrameRetireConnectionID, id.seq)
		}
	case 7, 8:
		all := slices.Concat(w.answers...)
		w.answers = nil
		if len(all) > 0 {
			return all[:min(len(all), 9*100)]
		}
	case 9:
		return binary.BigEndian.AppendUint64(frame(wire.FramePathResponse), w.rng.Uint64())
	}
	return filler(1 + w.rng.IntN(900))
}

// look takes what the client sends.
func (w *wanderer) look() {
	for range 2000 {
		w.answer()
		size := 65535
		if w.rng.IntN(8) == 0 {
			size = 1200 + w.rng.IntN(2000)
		}
		t := w.conn.Send(w.now, w.buf[:size])
		if t.N == 0 {
			w.judge()
			return
		}
		lost := w.dead[t.Local] || w.rng.IntN(10) == 0
		for train := w.buf[:t.N]; len(train) > 0; {
			n := min(t.SegSize, len(train))
			w.datagrams++
			w.lastSize, w.lastTo, w.lastFrom = n, t.Remote, t.Local
			known := w.received[2]
			if lost || w.narrow > 0 && n > w.narrow {
				w.received[2] = slices.Clone(known)
			}
			w.receive(train[:n])
			if lost || w.narrow > 0 && n > w.narrow {
				w.received[2] = known
				for i := range w.got {
					w.got[i].datagram = -1
				}
			}
			w.judge()
			train = train[n:]
		}
	}
	w.t.Fatal("Send never ends")
}

// judge looks at the frames that came.
func (w *wanderer) judge() {
	w.forced = w.forced || !w.conn.path.validated
	for _, f := range w.got {
		if f.slot != protect.OneRTT {
			continue
		}
		if !slices.Contains(w.remotes, f.to) {
			w.t.Fatalf("%v was sent to %v", f, f.to)
		}
		if from, ok := w.usedFrom[f.dstID]; ok && from != f.from {
			w.t.Fatalf("connection ID %q was used from %v and from %v", f.dstID, from, f.from)
		}
		w.usedFrom[f.dstID] = f.from
		probing := f.typ == wire.FramePathChallenge || f.typ == wire.FramePathResponse || f.typ == wire.FramePadding || f.typ == wire.FrameNewConnectionID
		if !probing && !w.proved[[2]netip.AddrPort{f.from, f.to}] && !w.forced && !w.conn.IsClosed() {
			w.t.Fatalf("%v from %v to %v, which is not validated", f, f.from, f.to)
		}
		if f.typ == wire.FramePathChallenge && f.datagram >= 0 && w.rng.IntN(3) > 0 {
			w.answers = append(w.answers, answerTo(f))
			w.proved[[2]netip.AddrPort{f.from, f.to}] = true
		}
	}
	w.got = nil
	if w.keys.ReadGen() > w.keys.WriteGen() {
		w.must(w.keys.AdvanceWrite())
		w.phase = !w.phase
	}
}

// behave sends what an honest server would, and lets some time pass.
func (w *wanderer) behave(id uint64) {
	frames := [][]byte{frame(wire.FramePing), w.ackReceived(protect.OneRTT)}
	for _, a := range w.answers {
		frames = append(frames, a)
		if len(frames) > 60 {
			break
		}
	}
	w.answers = nil
	frames = append(frames, frame(wire.FrameMaxStreamData, id, 1<<40), frame(wire.FrameMaxData, 1<<40))
	if w.mayIssue() {
		frames = append(frames, w.newID(0))
	}
	w.deliver(w.conn.path.local, w.conn.path.remote, w.encode(scriptedPacket{slot: protect.OneRTT, dstID: w.anyID(), frames: frames}))
	w.check()
	w.look()
	w.now = w.now.Add(50 * time.Millisecond)
	w.conn.OnTimeout(w.now)
	w.check()
	w.look()
}
