package h3

import (
	"bytes"
	"testing"
)

// Whatever a frame's header is cut into, it is read the same way.
func FuzzFrameHeader(f *testing.F) {
	f.Add([]byte{1, 5}, 1)
	f.Add([]byte{0x40, 1, 0x80, 0, 0, 5, 9}, 3)
	f.Add(appendFrameHeader(nil, 1<<62-1, 1<<62-1), 5)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		typ, length, used, ok := consumeFrameHeader(b)
		var h frameHeader
		cut = max(min(cut, len(b)), 0)
		first := 0
		if cut < used || !ok {
			var early bool
			if _, _, first, early = h.consume(b[:cut]); early != (ok && first == used) {
				t.Fatalf("%x: the first %d bytes: %v", b, cut, early)
			} else if early {
				return
			}
		}
		typ2, length2, used2, ok2 := h.consume(b[first:])
		if ok != ok2 || ok && (typ != typ2 || length != length2 || used != first+used2) {
			t.Fatalf("%x cut at %d: %d %d %d %v, want %d %d %d %v", b, cut, typ2, length2, first+used2, ok2, typ, length, used, ok)
		}
	})
}

// What settings are read as is remembered, and recalled.
func FuzzSettings(f *testing.F) {
	f.Add(appendPairs(1, 4096, 6, 100, 7, 16, 8, 1, 0x33, 1))
	f.Add([]byte{0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSettings(b)
		if err != nil {
			return
		}
		got, ok := recall(s.remember())
		if !ok || !bytes.Equal(got.append(nil), s.append(nil)) {
			t.Fatalf("%+v is recalled as %+v, %v", s, got, ok)
		}
		if e := got.lowered(&s); e != nil {
			t.Fatalf("%+v is less than itself: %v", s, e)
		}
	})
}

func FuzzPriority(f *testing.F) {
	f.Add("u=1, i")
	f.Add("u=(1 2);x, i=?0")
	f.Fuzz(func(t *testing.T, value string) {
		p := ParsePriority(value)
		if p.Urgency > 7 || ParsePriority(FormatPriority(p)) != p {
			t.Fatalf("%q: %+v", value, p)
		}
	})
}

// Capsules come out the same way however the bytes are cut.
func FuzzCapsules(f *testing.F) {
	f.Add(AppendCapsule(AppendCapsule(nil, 0, []byte("one")), 7, []byte("two")), 3)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		read := func(size int) (all []byte, failed bool) {
			r := CapsuleReader{Max: 100}
			for rest := b; len(rest) > 0; {
				piece := rest[:min(size, len(rest))]
				rest = rest[len(piece):]
				for {
					c, n, ok, err := r.Next(piece)
					if err != nil {
						return all, true
					}
					piece = piece[n:]
					if !ok {
						break
					}
					all = append(append(all, 0xff), c.Value...)
				}
			}
			return all, false
		}
		whole, failed := read(len(b) + 1)
		parts, failed2 := read(max(size%10, 1))
		if !bytes.Equal(whole, parts) || failed != failed2 {
			t.Fatalf("%x, and in parts %x", whole, parts)
		}
	})
}

// A peer that sends anything on its control, request and QPACK streams: no panic, no contradiction, and the same end in one piece and byte by byte.
func FuzzStreams(f *testing.F) {
	f.Add(true, uint8(0), slicesOf(settingsFrame(), frameOf(frameGoAway, []byte{4})))
	f.Add(false, uint8(0), slicesOf(settingsFrame(), frameOf(framePriorityUpdateRequest, []byte{0, 'u', '=', '1'})))
	f.Add(false, uint8(1), slicesOf(postFrame("content-length", "5"), frameOf(frameData, []byte("hello")), section("a", "b")))
	f.Add(false, uint8(1), slicesOf(getFrame("A", "b")))
	f.Add(true, uint8(1), slicesOf(section(":status", "103"), section(":status", "200"), frameOf(frameData, []byte("hello"))))
	f.Add(false, uint8(2), []byte{0x3f, 0xe1, 0x1f, 0x41, 'x', 0x01, 'y'})
	f.Add(false, uint8(3), []byte{0x80})
	f.Fuzz(func(t *testing.T, client bool, which uint8, b []byte) {
		if len(b) > 500 {
			return
		}
		run := func(step int) (closed error, got []EventKind, body []byte, spent bool) {
			p := &script{pair: newPair(t, nil), t: nil}
			core := p.pair.server
			p.peer = p.pair.client
			if client {
				core, p.peer = p.peer, core
			}
			s := p.newSide(core, nil)
			s.handle = func(ev Event) {
				if ev.Kind == EventData {
					part, _, _ := s.readAll(ev.Stream)
					body = append(body, part...)
				} else if ev.Kind != EventDone {
					got = append(got, ev.Kind)
				}
			}
			p.settle()
			var id uint64
			if client {
				s.SendRequest(p.now, get("/"), nil, true)
				p.settle()
			}
			switch which % 4 {
			case 0:
				id, _ = p.peer.OpenUniStream()
				p.peer.StreamSend(id, []byte{streamControl}, false)
			case 1:
				if !client {
					id, _ = p.peer.OpenStream()
				}
			default:
				id, _ = p.peer.OpenUniStream()
				p.peer.StreamSend(id, []byte{which % 4}, false)
			}
			p.settle()
			for rest := b; len(rest) > 0; {
				n := min(step, len(rest))
				p.peer.StreamSend(id, rest[:n], n == len(rest))
				rest = rest[n:]
				p.settle()
				if err := s.Check(); err != nil {
					t.Fatal(err)
				}
			}
			p.settle()
			return core.Err(), got, body, s.load.tokens < loadBurst
		}
		err1, got1, body1, failed := run(len(b) + 1)
		err2, got2, body2, _ := run(1)
		if failed {
			return // what is malformed further on has kept a message back, or is not looked at behind it
		}
		if (err1 == nil) != (err2 == nil) || err1 != nil && err1.Error() != err2.Error() {
			t.Fatalf("in one piece %v, byte by byte %v", err1, err2)
		}
		if err1 == nil && (!bytes.Equal(body1, body2) || len(got1) != len(got2)) {
			t.Fatalf("%v %q, byte by byte %v %q", got1, body1, got2, body2)
		}
	})
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
