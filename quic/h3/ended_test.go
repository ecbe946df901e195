package h3

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// A section that ends the connection is not passed over because the end of the stream was read with it: nobody takes the message for complete.
func TestFaultyTrailersAreNoEnd(t *testing.T) {
	bad := frameOf(frameHeaders, []byte{0, 0, 0xff, 0x24}) // static index 99
	for _, client := range []bool{false, true} {
		bothSpeeds(t, map[bool]string{false: "server", true: "client"}[client], func(t *testing.T, slow bool) {
			p := newScript(t, client, nil, false)
			whole := false
			p.side.handle = func(ev Event) {
				if ev.Kind == EventData {
					body, fin, err := p.side.readAll(ev.Stream)
					if whole = whole || fin; fin {
						t.Errorf("%q, and the end, %v", body, err)
					}
				}
				whole = whole || ev.Fin
			}
			var id uint64
			head := postFrame()
			if client {
				id, head = p.request(get("/")), section(":status", "200")
			} else {
				id = p.bidi(false)
			}
			p.slow = slow
			p.send(id, false, head)
			p.send(id, true, frameOf(frameData, []byte("body")), bad)
			p.wantClosed(ErrCodeDecompressionFailed, "static index 99 in a trailer section")
			if _, fin, err := p.side.StreamRecv(id, make([]byte, 10)); whole || fin || err == nil {
				t.Fatalf("the message is whole: %v, %v, %v", whole, fin, err)
			}
		})
	}
}

// What had arrived of a response when the server closes the connection is read to its end, with the trailer section.
func TestTrailersAfterClose(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		bothSpeeds(t, map[bool]string{false: "plain", true: "dynamic"}[blocked], func(t *testing.T, slow bool) {
			p := newScript(t, true, nil, false)
			trailers := section("x", "y")
			if blocked {
				p.uni(false, varint(streamQPACKEncoder), insertX)
				trailers = frameOf(frameHeaders, []byte{2, 0, 0x80})
			}
			id := p.request(get("/"))
			p.slow = slow
			p.send(id, true, section(":status", "200"), frameOf(frameData, []byte("body")), trailers)
			p.peer.Close(p.now, true, uint64(ErrCodeNoError), "")
			p.pass(time.Second)
			if body, fin, err := p.side.readAll(id); string(body) != "body" || !fin || err != nil {
				t.Fatalf("%q, %v, %v", body, fin, err)
			}
			var got []qpack.Field
			for _, ev := range p.side.events {
				if ev.Kind == EventTrailers {
					got = append(got, ev.Fields...)
				}
			}
			if len(got) != 1 || got[0].Name != "x" || got[0].Value != "y" {
				t.Errorf("the trailer section is %v", got)
			}
		})
	}
}

// Behind its last GOAWAY a server keeps no priorities for requests that it will reject: while one is open, a client may go through any number of them.
func TestPrioritiesOfRejectedRequests(t *testing.T) {
	p := newScriptWith(t, false, nil, false, func(_, server *quic.Config) { server.MaxStreamsBidi = 10 })
	p.bidi(false, postFrame())
	p.side.want(EventRequest)
	update := func(id uint64) {
		p.send(p.control, false, frameOf(framePriorityUpdateRequest, append(varint(id), "u=1"...)))
	}
	for id := uint64(4); id < 40; id += 4 {
		update(id)
	}
	p.side.Shutdown(p.now)
	p.pass(time.Second)
	for range 100 {
		id := p.bidi(false)
		update(id + 4)
		p.send(id, true, getFrame())
		p.wantReset(id, ErrCodeRequestRejected, "behind the last GOAWAY")
		p.pass(20 * time.Millisecond)
	}
	if n := len(p.side.priorities.early); n > 0 {
		t.Errorf("%d priorities of requests are kept that will not be taken", n)
	}
	p.wantAlive("with a request that is open")
}
