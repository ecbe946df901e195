package quic

import (
	"fmt"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What the peer takes rules on every path, for all that depends on it: the size of datagrams, the window to begin with and the least one,
// and the train that there must be room for before anything leaves.
func TestPeersMaxUDPPayload(t *testing.T) {
	for _, size := range []int{1200, 1300, 9000, 65527} {
		for _, algorithm := range []CongestionAlgorithm{CUBIC, NewReno} {
			p := newMobile(t, param(0x03, varint(1300)), param(0x20, varint(65535)), func(p *scripted) {
				p.cfg.MaxUDPPayload, p.cfg.Congestion = size, algorithm
			})
			want := min(size, 1300)
			for _, there := range []string{"at first", "on a new path"} {
				if there != "at first" {
					p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
					if w := p.conn.path.rec.CC.Window(); w != 10*int64(want) {
						t.Errorf("%d: a window of %d to begin with %s", size, w, there)
					}
					p.drain()
				}
				rec := p.conn.path.rec
				if n := p.conn.Stats().MaxUDPPayload; n != want {
					t.Errorf("%d: datagrams of %d bytes %s, want %d", size, n, there, want)
				}
				if n := p.conn.MaxDatagramSize(); n > want-20 || n < want-50 {
					t.Errorf("%d: DATAGRAM frames of %d bytes are promised %s", size, n, there)
				}
				rec.InFlight = 0 // for the question below, which is the last
				rec.CC.OnPersistentCongestion()
				if w := rec.CC.Window(); w != 2*int64(want) || !rec.TrainRoom() {
					t.Errorf("%d: after persistent congestion the window is %d %s, and has room for a train: %v", size, w, there,
						rec.TrainRoom())
				}
			}
		}
	}
}

// Before the peer has announced what it takes, nobody knows: datagrams are such that any peer takes them (RFC 9000, section 14.1).
func TestFirstDatagramsAreSmall(t *testing.T) {
	p := newScriptedServer(t, func(p *scripted) {
		p.cfg.MaxUDPPayload = 9000
		for i := range 200 {
			p.cfg.TLS.NextProtos = append(p.cfg.TLS.NextProtos, fmt.Sprintf("protocol-%d", i))
		}
	})
	if p.datagrams < 2 || p.bytes > p.datagrams*minDatagramSize {
		t.Errorf("a long ClientHello took %d bytes in %d datagrams", p.bytes, p.datagrams)
	}
	p.handshake()
	if n := p.conn.Stats().MaxUDPPayload; n != 9000 {
		t.Errorf("datagrams of %d bytes after the handshake", n)
	}
}

// A datagram that was accepted and fits no longer is dropped and counted: it does not wait before others for ever. From then on the
// size that is told is the one that is there.
func TestDatagramThatFitsNoLonger(t *testing.T) {
	p := newMobile(t, param(0x20, varint(65535)), func(p *scripted) { p.cfg.MaxUDPPayload = 9000 })
	p.ignored[wire.FrameDatagram+1] = true
	p.drain()
	large := p.conn.MaxDatagramSize()
	p.must(p.conn.DatagramSend(make([]byte, large)))
	p.must(p.conn.DatagramSend([]byte("small")))
	buf := make([]byte, 2000)
	for tr := p.conn.Send(p.now, buf); tr.N > 0; tr = p.conn.Send(p.now, buf) {
		if tr.SegSize > len(buf) {
			t.Errorf("a datagram of %d bytes in a buffer of %d", tr.SegSize, len(buf))
		}
	}
	if s := p.conn.Stats(); s.DatagramFramesUnsent != 1 || s.DatagramFramesSent != 1 || s.MaxUDPPayload != len(buf) {
		t.Errorf("%d unsent, %d sent, datagrams of %d bytes", s.DatagramFramesUnsent, s.DatagramFramesSent, s.MaxUDPPayload)
	}
	if err := p.conn.DatagramSend(make([]byte, large)); err == nil {
		t.Error("a datagram is taken that cannot be sent")
	}
	p.must(p.conn.DatagramSend(make([]byte, p.conn.MaxDatagramSize())))
	p.drain() // with a buffer of 64 KiB
	if s := p.conn.Stats(); s.DatagramFramesSent != 2 || s.MaxUDPPayload != 9000 || p.conn.MaxDatagramSize() != large {
		t.Errorf("%d sent, datagrams of %d bytes", s.DatagramFramesSent, s.MaxUDPPayload)
	}
}
