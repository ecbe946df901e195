package h3

import (
	"errors"
	"fmt"
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
			id, head := p.exchange()
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

// A trailer section that waits, for the dynamic table, for memory or for the decoder stream, when the peer closes the connection: what is there is read, and
// what is not has an error. Nobody waits for what cannot come.
func TestWaitingTrailersAfterClose(t *testing.T) {
	long := section("x", "y", "x-long", stringOf(40_000))
	for _, client := range []bool{false, true} {
		for _, c := range []struct {
			name     string
			trailers []byte
			whole    bool
		}{
			{"for the dynamic table", frameOf(frameHeaders, []byte{2, 0, 0x80}), false},
			{"for memory", long, true},
			{"for memory, and are cut off", long[:25_000], false},
			{"for the decoder stream", frameOf(frameHeaders, []byte{2, 0, 0x80}), true},
		} {
			for _, read := range []bool{false, true} { // the body, before the end
				t.Run(fmt.Sprintf("client %v, %s, read %v", client, c.name, read), func(t *testing.T) {
					p := newScriptWith(t, client, nil, false, func(client, server *quic.Config) {
						client.StreamReceiveWindow, client.MaxStreamReceiveWindow = 1<<20, 1<<20
						server.StreamReceiveWindow, server.MaxStreamReceiveWindow = 1<<20, 1<<20
						for _, cfg := range []*quic.Config{client, server} {
							cfg.StreamSendBuffer, cfg.MaxStreamSendBuffer = 1<<20, 1<<20
						}
					})
					switch c.name {
					case "for memory", "for memory, and are cut off":
						for range maxHeldSections/60_000 + 1 {
							id, _ := p.exchange()
							p.send(id, false, appendFrameHeader(nil, frameHeaders, 60_000), make([]byte, 100))
						}
					case "for the decoder stream":
						p.uni(false, varint(streamQPACKEncoder), insertX)
						p.fillDecoderStream()
					}
					id, head := p.exchange()
					p.send(id, false, head, frameOf(frameData, []byte("body")))
					p.send(id, c.whole || len(c.trailers) < 10, c.trailers)
					var body []byte
					if read {
						var fin bool
						var err error
						if body, fin, err = p.side.readAll(id); fin || err != nil {
							t.Fatalf("%q, %v, %v, and the trailers wait", body, fin, err)
						}
					}
					p.peer.Close(p.now, true, uint64(ErrCodeNoError), "")
					p.pass(time.Second)
					more, fin, err := p.side.readAll(id)
					if body = append(body, more...); err == nil && !fin { // the trailers were told in between
						_, fin, err = p.side.readAll(id)
					}
					if string(body) != "body" || fin != c.whole || (err == nil) != c.whole {
						t.Fatalf("%q, %v, %v", body, fin, err)
					}
					if e := (*quic.ApplicationError)(nil); !c.whole && !errors.As(err, &e) {
						t.Errorf("the error is %v", err)
					}
					trailers := 0
					for _, ev := range p.side.events {
						if ev.Kind == EventTrailers {
							trailers++
						}
					}
					if trailers == 1 != c.whole {
						t.Errorf("trailers were told %d times", trailers)
					}
				})
			}
		}
	}
}

// Trailers that wait for room on the decoder stream, and stay with the core meanwhile, are told of when there is some.
func TestTrailersWaitForDecoderStream(t *testing.T) {
	for _, client := range []bool{false, true} {
		for cut := range 3 {
			p := newScript(t, client, nil, false)
			p.uni(false, varint(streamQPACKEncoder), insertX)
			p.fillDecoderStream()
			id, head := p.exchange()
			trailers := frameOf(frameHeaders, []byte{2, 0, 0x80})
			p.send(id, false, head, frameOf(frameData, []byte("body")), trailers[:cut])
			p.send(id, true, trailers[cut:])
			for range 2 {
				if _, fin, err := p.side.readAll(id); fin || err != nil {
					t.Fatalf("client %v: %v, %v, and the trailers wait", client, fin, err)
				}
			}
			p.side.events = nil
			p.side.local.out[localDecoder] = nil
			p.side.local.onWritable(p.side.Conn, localDecoder)
			p.side.read()
			_, fin, err := p.side.readAll(id)
			if !fin && err == nil { // the trailers were told in between
				_, fin, err = p.side.readAll(id)
			}
			if !fin || err != nil {
				t.Fatalf("client %v, cut at %d: %v, %v", client, cut, fin, err)
			}
			told := map[EventKind]int{}
			for _, ev := range p.side.events {
				told[ev.Kind]++
			}
			if told[EventData] == 0 || told[EventTrailers] != 1 {
				t.Errorf("client %v, cut at %d: told were %v", client, cut, told)
			}
		}
	}
}
