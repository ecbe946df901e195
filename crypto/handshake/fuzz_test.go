package handshake_test

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// FuzzFeed reads its input as steps. A step is a byte and what it wants: bits 0 and 1 are a level, bit 2 the end that is
// fed (set: the client). Without bit 6, a length byte and so many arbitrary bytes follow, which are fed; with it, the next
// genuine piece for that end is fed at its own level, with bit 7 after one byte of it was changed as the next two bytes of
// input say (where, and by what). Bits 3 to 5 of the first step choose callbacks, client certificates and a
// HelloRetryRequest.
func FuzzFeed(f *testing.F) {
	genuine := []byte{0x40, 0x44, 0x44, 0x40, 0x44, 0x40, 0x44, 0x44}
	f.Add(genuine)
	for bit := byte(3); bit <= 5; bit++ {
		f.Add(append([]byte{0x40 | 1<<bit}, genuine[1:]...))
	}
	f.Add(append(append([]byte{}, genuine...), 0x03, 5, 24, 0, 0, 1, 1, 0x07, 5, 24, 0, 0, 1, 1))
	f.Add([]byte{0xc0, 40, 1, 0xc4, 3, 0x80})
	f.Add([]byte{0x40, 0x44, 0xc4, 60, 2, 0x44, 0x40})
	f.Add([]byte{0x00, 4, 1, 0, 0, 0})
	f.Add([]byte{0x04, 4, 2, 0, 0, 0, 0x06, 1, 8, 0x02, 1, 20, 0x01, 1, 5})
	contexts := [2]*handshake.Context{newContext(f, false), newContext(f, true)}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 4096 {
			return
		}
		run := newFuzzed(t, contexts, data[0]>>3)
		defer run.release()
		for len(data) > 0 {
			data = run.step(data)
		}
	})
}

// fuzzed is a client and a server, and what is on its way to each.
type fuzzed struct {
	ends  [2]*ours // the server, the client
	queue [2][]sent
}

func newFuzzed(t *testing.T, contexts [2]*handshake.Context, options byte) *fuzzed {
	client, server := clientConfig(), serverConfig()
	client.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	if options&1 != 0 {
		server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		server.VerifyConnection = func(tls.ConnectionState) error { return nil }
	}
	if options&2 != 0 {
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
		client.Certificates = server.Certificates
	}
	if options&4 != 0 {
		server.CurvePreferences = []tls.CurveID{tls.CurveP256}
	}
	r := &fuzzed{ends: [2]*ours{
		newOurs(t, contexts[0], server, handshake.Params{}),
		newOurs(t, contexts[1], client, handshake.Params{}),
	}}
	for _, o := range r.ends {
		if err := o.start(); err != nil {
			t.Fatal(err)
		}
	}
	r.pump()
	return r
}

// step takes one step off data.
func (r *fuzzed) step(data []byte) []byte {
	op := data[0]
	data = data[1:]
	to := int(op >> 2 & 1)
	piece := sent{level: handshake.Level(op & 3)}
	if op&0x40 == 0 {
		if len(data) == 0 {
			return nil
		}
		n := min(int(data[0]), len(data)-1)
		piece.data, data = data[1:1+n], data[1+n:]
	} else {
		if len(r.queue[to]) == 0 {
			return data
		}
		piece, r.queue[to] = r.queue[to][0], r.queue[to][1:]
		if op&0x80 != 0 && len(data) >= 2 && len(piece.data) > 0 {
			piece.data[int(data[0])%len(piece.data)] ^= data[1]
			data = data[2:]
		}
	}
	o := r.ends[to]
	failed := o.alerts > 0
	err := o.conn.Feed(piece.level, piece.data)
	r.pump()
	if failed && (err == nil || !errors.Is(err, o.err)) {
		o.t.Fatalf("Feed of a failed Conn returned %v, not %v", err, o.err)
	}
	if o.alerts > 1 {
		o.t.Fatalf("%d alerts", o.alerts)
	}
	return data
}

// pump takes what both ends have to say. ours.pump asserts the order of events.
func (r *fuzzed) pump() {
	for i, o := range r.ends {
		r.queue[1-i] = append(r.queue[1-i], o.pump()...)
	}
}

func (r *fuzzed) release() {
	for _, o := range r.ends {
		o.conn.Release()
	}
}
