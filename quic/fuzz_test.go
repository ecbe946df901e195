package quic

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// FuzzPayloads gives an established connection authentic 1-RTT packets of any content: the input is cut into payloads of up
// to 64 KiB by two-byte lengths. Between packets the connection does what a driver would have it do. Nothing may panic, nothing
// may be sent without end, and what is held stays within the bounds of limits.go.
func FuzzPayloads(f *testing.F) {
	payloads := func(frames ...[]byte) (b []byte) {
		for _, p := range frames {
			b = append(append(b, byte(len(p)>>8), byte(len(p))), p...)
		}
		return b
	}
	stream := append(wire.AppendStreamHeader(nil, 0, 0, 5, true, true), "hello"...)
	ack, _ := wire.AppendAck(nil, []ranges.Range{{Start: 0, End: 2}}, 0, nil, 100)
	f.Add(payloads(stream, ack, []byte{wire.FramePing}))
	f.Add(payloads(wire.AppendResetStream(nil, 4, 1, 100), wire.AppendStopSending(nil, 0, 2)))
	f.Add(payloads(wire.AppendStopSending(nil, 1, 7), wire.AppendMaxStreamData(nil, 1, 1<<20), wire.AppendMaxData(nil, 1<<30)))
	f.Add(payloads(wire.AppendNewConnectionID(nil, 1, 1, []byte("12345678"), [16]byte{1}), wire.AppendRetireConnectionID(nil, 0)))
	f.Add(payloads(wire.AppendPathChallenge(nil, [8]byte{1}), wire.AppendPathResponse(nil, [8]byte{2})))
	f.Add(payloads(append(wire.AppendCryptoHeader(nil, 0, 4), 4, 0, 0, 0), wire.AppendNewToken(nil, []byte("token"))))
	f.Add(payloads(append(wire.AppendDatagramHeader(nil, 3, true), 1, 2, 3), wire.AppendStreamsBlocked(nil, true, 100)))
	f.Add(payloads(wire.AppendMaxStreams(nil, true, 200), wire.AppendMaxStreams(nil, false, 200), wire.AppendDataBlocked(nil, 0)))
	f.Add(payloads(wire.AppendAckFrequency(nil, wire.AckFrequency{Seq: 1, Threshold: 10, MaxDelay: 5000, Reordering: 3}),
		[]byte{wire.FramePing}, []byte{wire.FramePing}, []byte{wire.FrameImmediateAck}))
	f.Add(payloads(wire.AppendConnectionClose(nil, wire.ConnectionClose{App: true, Code: 1, Reason: []byte("bye")})))
	f.Fuzz(func(t *testing.T, input []byte) {
		p := newPair(t, func(client, server *Config) {
			client.MaxDatagramFrameSize, server.MaxDatagramFrameSize = 1000, 1000
			server.StreamReceiveWindow, server.ReceiveWindow = 1<<10, 4<<10
		})
		for _, c := range []*Conn{p.server, p.client} {
			id, err := c.OpenStream()
			if err == nil {
				c.StreamSend(id, make([]byte, 2000), false)
			}
			feedPayloads(t, p, c, input)
		}
	})
}

func feedPayloads(t *testing.T, p *pair, c *Conn, input []byte) {
	for pn := c.spaces[recovery.AppSpace].acks.largest() + 1; len(input) >= 2 && c.state == stateActive; pn++ {
		n := min(int(input[0])<<8|int(input[1]), len(input)-2)
		in := inPacket{now: c.clock.now, slot: protect.OneRTT, space: recovery.AppSpace, pn: pn, path: c.path,
			payload: append([]byte(nil), input[2:2+n]...)}
		input = input[2+n:]
		if err := c.handleFrames(&in); err != nil {
			c.fail(err)
		} else {
			tr := inTrain{path: c.path}
			c.afterPacket(&tr, &in)
		}
		c.updateLimits()
		drive(t, p, c)
		c.OnTimeout(p.now)
	}
	drive(t, p, c)
	if n := c.streams.gaps * gapBytes; n > maxGapBytes+gapBytes || n < 0 {
		t.Fatalf("%d bytes of gaps", n)
	}
	if n := len(c.peer.retiring); n > retiredConnIDs*usualConnIDLimit+1 {
		t.Fatalf("%d connection IDs to retire", n)
	}
	if held := c.streams.admission.held; held < 0 {
		t.Fatalf("%d bytes held for sending", held)
	}
}

// drive does what an application does with events.
func drive(t *testing.T, p *pair, c *Conn) {
	var buf [700]byte
	for {
		ev, ok := c.NextEvent()
		if !ok {
			break
		}
		switch ev.Kind {
		case EventReadable:
			for {
				n, fin, err := c.StreamRecv(ev.Stream, buf[:])
				if n == 0 || fin || err != nil {
					break
				}
			}
			c.StreamSend(ev.Stream, buf[:], true)
		case EventWritable:
			c.StreamSend(ev.Stream, buf[:], false)
		case EventStreamOpened:
			if ev.Stream%3 == 0 {
				c.StreamShutdown(ev.Stream, ReadDirection, 9)
			}
		case EventDatagram:
			c.DatagramRecv(buf[:])
		}
	}
	for i := 0; ; i++ {
		if tr := c.Send(p.now, p.buf); tr.N == 0 {
			return
		}
		if i > 1000 {
			t.Fatal("Send never ends")
		}
	}
}
