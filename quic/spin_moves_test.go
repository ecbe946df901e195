package quic

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// TestSpinMoves has a client's packets come from up to a dozen addresses of up to six hosts, in trains, copied and sent on from others,
// to any of the server's connection IDs, while IDs of both sides come and go and the server has data to send. At some addresses it
// receives and answers challenges, most of the time. To the others nobody may be sent more than three times what came from there, at any
// instant; and when the client is where it was at first, and honest, it gets everything.
func TestSpinMoves(t *testing.T) {
	eachSeed(t, func(seed uint64) {
		if fault := playMoves(t, seed); fault != "" {
			t.Fatalf("seed %d (-spin.seed=%d plays it alone): %s", seed, seed, fault)
		}
	})
}

// TestMovesFound plays again what random seeds have found.
func TestMovesFound(t *testing.T) {
	for _, seed := range []uint64{
		147386094333654, // a challenge was given up, and recovery went on to take the address for limited
	} {
		if fault := playMoves(t, seed); fault != "" {
			t.Errorf("seed %d: %s", seed, fault)
		}
	}
}

// mover is the client.
type mover struct {
	*scripted
	rng      *rand.Rand
	home     netip.AddrPort
	others   []netip.AddrPort
	received map[netip.AddrPort]int // bytes that the server received from an address
	sent     map[netip.AddrPort]int // and sent there
	receives map[netip.AddrPort]bool
	answered map[netip.AddrPort]bool // a challenge that came there was answered
	answers  [][]byte                // to be sent
	datagram int                     // the last one that was looked at
	ids      uint64                  // the last connection ID issued to the server
	issued   bool                    // one was in this step
	off      uint64                  // of stream 0
	locals   []netip.AddrPort        // the server's
}

func playMoves(t *testing.T, seed uint64) (fault string) {
	q := &quietly{TB: t}
	defer func() {
		if v, ok := recover().(attackFault); ok {
			fault = string(v)
		}
		for _, f := range slices.Backward(q.cleanups) {
			f()
		}
	}()
	m := newMover(q, seed)
	id, err := m.conn.OpenStream()
	m.must(err)
	for range 200 {
		if m.rng.IntN(3) == 0 {
			m.conn.StreamSend(id, make([]byte, 1+m.rng.IntN(5000)), false)
		}
		m.step()
		if err, ok := m.conn.Err().(*TransportError); ok && err.Code == NoViablePath {
			return "" // the client has left no address at which it answers
		}
		if m.conn.IsClosed() {
			return m.conn.Err().Error()
		}
	}
	for range 400 {
		s := m.conn.streams.live.get(id)
		if s == nil || s.send.buf.done() {
			return ""
		}
		m.comeHome(id)
		if m.conn.IsClosed() {
			return "at home: " + m.conn.Err().Error()
		}
	}
	c := m.conn
	return fmt.Sprintf("stall: the path to %v is in state %d, validated %v, with %d bytes in flight", c.path.remote, c.path.state,
		c.path.validated, c.path.rec.InFlight)
}

func newMover(q *quietly, seed uint64) *mover {
	rng := rand.New(rand.NewPCG(seed, 0x30f))
	prefers := rng.IntN(2) == 0
	m := &mover{
		rng: rng, received: map[netip.AddrPort]int{}, sent: map[netip.AddrPort]int{},
		receives: map[netip.AddrPort]bool{}, answered: map[netip.AddrPort]bool{},
		scripted: newScriptedClient(q, param(0x0e, varint(4)), func(p *scripted) {
			p.cfg.StreamSendBuffer, p.cfg.DisablePMTUD = 1<<20, rng.IntN(2) == 0
			if prefers {
				id, _ := MakeConnID([]byte("cid-pref"))
				p.cfg.PreferredAddress.IPv4 = preferred4
				p.preferred = &IssuedConnID{ID: id, Seq: 1, ResetToken: [16]byte{7}}
				p.nextSeq = 2
			}
		}),
	}
	m.locals = []netip.AddrPort{m.local}
	if prefers {
		m.locals = append(m.locals, preferred4)
	}
	m.handshake()
	m.lossy = true
	m.sendFrames(protect.OneRTT, m.newID(0))
	m.advance()
	m.got, m.datagram = nil, m.datagrams
	m.home = m.remote
	m.receives[m.home], m.answered[m.home] = true, true
	hosts := 1 + m.rng.IntN(6)
	for i := range 2 + m.rng.IntN(12) {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 1, byte(i % hosts)}), uint16(1000+i))
		m.others = append(m.others, a, m.home)
		m.receives[a] = m.rng.IntN(2) == 0
	}
	return m
}

// newID is a NEW_CONNECTION_ID frame for the next connection ID.
func (m *mover) newID(retirePriorTo uint64) []byte {
	m.ids++
	return newConnectionIDFrame(m.ids, retirePriorTo, fmt.Sprintf("peer%04d", m.ids), [16]byte{byte(m.ids), byte(m.ids >> 8), 9})
}

// step sends a train, or lets time pass.
func (m *mover) step() {
	switch m.rng.IntN(8) {
	case 0:
		m.now = m.now.Add(time.Duration(m.rng.IntN(300)) * time.Millisecond)
		m.conn.HandleTooLarge(m.now, m.locals[m.rng.IntN(len(m.locals))], m.anywhere(), 1000+m.rng.IntN(3000))
	case 1:
		if at, ok := m.conn.Timeout(); ok && at.Sub(m.now) < 5*time.Second {
			m.advance()
		}
	default:
		m.issued = false
		to := m.anyID()
		train := m.appendPacket(nil, m.packet(to), 0)
		size := len(train)
		for range m.rng.IntN(5) {
			if b := m.appendPacket(nil, m.packet(to), size); len(b) > size {
				m.deliver(m.anywhere(), b, len(b))
			} else {
				train = append(train, b...)
			}
		}
		if m.rng.IntN(2) == 0 {
			m.deliver(m.anywhere(), slices.Clone(train), size) // somebody's copy is faster
		}
		m.deliver(m.anywhere(), train, size)
	}
	m.look()
}

func (m *mover) anywhere() netip.AddrPort { return m.others[m.rng.IntN(len(m.others))] }

func (m *mover) anyID() []byte {
	ids := m.conn.local.ids
	return ids[m.rng.IntN(len(ids))].id.Bytes()
}

func (m *mover) deliver(from netip.AddrPort, train []byte, size int) {
	m.received[from] += len(train)
	m.conn.Recv(m.now, Train{Buf: train, SegSize: size, Local: m.locals[m.rng.IntN(len(m.locals))], Remote: from})
	m.check()
}

// packet is a packet with some of the frames that matter to paths.
func (m *mover) packet(to []byte) scriptedPacket {
	frames := [][]byte{filler(1)}
	for range 1 + m.rng.IntN(3) {
		frames = append(frames, m.frame(to))
	}
	return scriptedPacket{slot: protect.OneRTT, dstID: to, frames: frames}
}

func (m *mover) frame(to []byte) []byte {
	switch m.rng.IntN(8) {
	case 0:
		return frame(wire.FramePing)
	case 1:
		return binary.BigEndian.AppendUint64(frame(wire.FramePathChallenge), m.rng.Uint64())
	case 2:
		return m.ackReceived(protect.OneRTT)
	case 3:
		m.off++
		return streamFrame(0, m.off-1, "x", false)
	case 4:
		if peer := &m.conn.peer; !m.issued && len(peer.ids) < usualConnIDLimit && len(peer.retiring) < retiredConnIDs*usualConnIDLimit/2 {
			m.issued = true
			return m.newID(uint64(max(0, m.rng.IntN(6)-4)) * m.rng.Uint64N(m.ids+2))
		}
	case 5:
		ids := m.conn.local.ids
		if id := ids[m.rng.IntN(len(ids))]; string(id.id.Bytes()) != string(to) {
			return frame(wire.FrameRetireConnectionID, id.seq)
		}
	case 6:
		return m.takeAnswers()
	}
	return filler(1 + m.rng.IntN(900))
}

func (m *mover) takeAnswers() []byte {
	all := slices.Concat(m.answers...)
	m.answers = nil
	return all
}

// look takes what the server sends.
func (m *mover) look() {
	m.drain()
	for _, f := range m.got {
		if f.datagram > m.datagram {
			m.datagram = f.datagram
			m.sent[f.to] += f.size
		}
		if f.typ == wire.FramePathChallenge && m.receives[f.to] && m.rng.IntN(3) > 0 {
			m.answers = append(m.answers, answerTo(f))
			m.answered[f.to] = true
		}
	}
	m.got = nil
	for to, n := range m.sent {
		if !m.answered[to] && n > 3*m.received[to] { // RFC 9000, section 8.1
			m.t.Fatalf("amplification: %d bytes were sent to %v, from where %d came", n, to, m.received[to])
		}
	}
	c := m.conn
	if m.nextSeq != c.local.next && !c.IsClosed() {
		m.t.Fatalf("identifiers: %d connection IDs were issued, and the peer has been given %d", m.nextSeq, c.local.next)
	}
	if len(c.paths.responses) > maxPathResponses || len(c.peer.ids) > usualConnIDLimit || len(c.peer.retiring) > retiredConnIDs*usualConnIDLimit+maxPaths {
		m.t.Fatalf("bounds: %d PATH_RESPONSE frames, %d connection IDs, %d to retire", len(c.paths.responses), len(c.peer.ids),
			len(c.peer.retiring))
	}
}

// comeHome sends what an honest client would from where it was at first, and lets some time pass.
func (m *mover) comeHome(id uint64) {
	frames := [][]byte{frame(wire.FramePing), m.ackReceived(protect.OneRTT), m.takeAnswers(),
		frame(wire.FrameMaxStreamData, id, 1<<40), frame(wire.FrameMaxData, 1<<40)}
	if len(m.conn.peer.ids) < usualConnIDLimit {
		frames = append(frames, m.newID(0))
	}
	b := m.appendPacket(nil, scriptedPacket{slot: protect.OneRTT, dstID: m.anyID(), frames: frames}, 0)
	m.deliver(m.home, b, len(b))
	m.look()
	m.now = m.now.Add(50 * time.Millisecond)
	m.conn.OnTimeout(m.now)
	m.look()
}
