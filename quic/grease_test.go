package quic

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

func noGrease(c *Config) { c.NoGrease = true }

// RFC 9287, section 3: the QUIC bit is 0 in half of the packets once the peer has announced that it takes such, and never if not.
func TestGreaseQUICBit(t *testing.T) {
	for _, c := range []struct {
		name           string
		client, server func(*Config)
		grease         bool
	}{
		{"both", func(*Config) {}, func(*Config) {}, true},
		{"the client does not", noGrease, func(*Config) {}, false},
		{"the server does not", func(*Config) {}, noGrease, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newNet(t)
			server := w.host(serverHost, endpointConfig(1, c.server))
			client := w.host(clientHost, nil)
			var count, clear [2]int // of packets with short headers, of each side
			first := true
			w.tap = func(d testDatagram) {
				side := 0
				if d.from == serverHost {
					side = 1
				}
				fixed := wire.HasFixedBit(d.b[0])
				if first && !fixed {
					t.Error("the client's first packet has the QUIC bit 0")
				}
				first = false
				if wire.IsLongHeader(d.b[0]) {
					return
				}
				count[side]++
				if !fixed {
					clear[side]++
				}
			}
			conn := client.connect(endpointConfig(2, c.client), ConnectParams{})
			w.run(func() bool { return conn.tls.confirmed })
			s := server.live[0]
			for range 200 {
				before := count
				conn.Ping()
				s.Ping()
				w.run(func() bool { return count[0] > before[0] && count[1] > before[1] })
			}
			for side, n := range count {
				if got := clear[side]; c.grease && (got < n/3 || got > 2*n/3) || !c.grease && got > 0 {
					t.Errorf("side %d sent %d of %d packets with the QUIC bit 0", side, got, n)
				}
			}
			if conn.Err() != nil || s.Err() != nil || conn.Stats().PacketsDropped+s.Stats().PacketsDropped > 0 {
				t.Errorf("%v and %v; %d and %d packets were dropped", conn.Err(), s.Err(), conn.Stats().PacketsDropped,
					s.Stats().PacketsDropped)
			}
		})
	}
}

// Who has announced nothing takes no packet with the QUIC bit 0 (RFC 9000, section 17.3.1).
func TestGreaseAnnounced(t *testing.T) {
	for _, off := range []bool{false, true} {
		p := newScriptedClient(t, func(p *scripted) { p.cfg.NoGrease = off })
		p.handshake()
		dropped := p.conn.Stats().PacketsDropped
		p.send(scriptedPacket{slot: protect.OneRTT, clear: 0x40, frames: [][]byte{frame(wire.FramePing)}})
		if got := p.conn.Stats().PacketsDropped > dropped; got != off {
			t.Errorf("NoGrease %v: the packet was dropped: %v", off, got)
		}
		params, err := wire.ParseTransportParameters(p.peerTP, false)
		if err != nil || params.GreaseQUICBit == off {
			t.Errorf("NoGrease %v: grease_quic_bit announced: %v, %v", off, params.GreaseQUICBit, err)
		}
	}
}

// RFC 9287, section 3.1: a client may send its first packet with the QUIC bit 0 if it has a token of a server that announced that it
// takes such. quinn's do so without one, where they remember that with a session.
func TestGreaseFirstPacket(t *testing.T) {
	for _, c := range []struct {
		name       string
		token, off bool
	}{
		{name: "with a token", token: true},
		{name: "without"},
		{name: "with a token, nothing announced", token: true, off: true},
	} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, func(cfg *Config) { cfg.NoGrease = c.off }))
		s := initialSpec{clear: 0x40}
		if c.token {
			s.token = string(server.tokens.makeNew(w.now, Version1, clientHost))
		}
		r, answer := server.one(s.datagram(t), clientHost)
		if r.New == c.off || answer != nil {
			t.Errorf("%s: accepted %v, answered %x", c.name, r.New, answer)
		}
	}
}

// Half of all connections have a reserved transport parameter, and all a reserved version; with NoGrease none.
func TestGreaseParameters(t *testing.T) {
	for _, off := range []bool{false, true} {
		reserved, lengths, places := 0, map[int]bool{}, map[int]bool{}
		for seed := range byte(100) {
			p := newScriptedClient(t, func(p *scripted) {
				p.cfg = endpointConfig(seed, func(c *Config) { c.NoGrease = off })
				p.cfg.TLS.NextProtos = []string{"scripted"}
			})
			p.handshake()
			for b := p.peerTP; len(b) > 0; {
				id, n := wire.ConsumeVarint(b)
				size, m := wire.ConsumeVarint(b[n:])
				if id%31 == 27 {
					reserved++
					lengths[int(size)] = true
				}
				b = b[n+m+int(size):]
			}
			params, err := wire.ParseTransportParameters(p.peerTP, false)
			if err != nil || params.Version.Chosen != Version1 {
				t.Fatalf("%+v, %v", params, err)
			}
			versions := 0
			for i, v := range params.Version.Available {
				if v&0x0f0f0f0f == 0x0a0a0a0a {
					places[i] = true
					versions++
				}
			}
			if want := map[bool]int{false: 1, true: 0}[off]; versions != want {
				t.Fatalf("%x has %d reserved versions, want %d", params.Version.Available, versions, want)
			}
		}
		if off && reserved > 0 || !off && (reserved < 30 || reserved > 70 || len(lengths) < 10 || !lengths[0] && !lengths[16] || len(places) < 3) {
			t.Errorf("NoGrease %v: %d of 100 connections have a reserved parameter, of %d lengths; the reserved version stands in %d places",
				off, reserved, len(lengths), len(places))
		}
	}
}

// RFC 9000, section 17.4: a server returns the bit of the packet with the highest number, a client its inverse; one in sixteen has it
// at random, and so have all if it is off.
func TestSpinBit(t *testing.T) {
	const conns = 320
	for _, client := range []bool{false, true} {
		for _, on := range []bool{false, true} {
			follow := 0
			for seed := range conns {
				option := func(p *scripted) {
					p.cfg.SpinBit, p.cfg.NoGrease = on, true
					p.cfg.Rand = endpointConfig(byte(seed)).Rand
					for range seed >> 8 * 13 {
						p.cfg.Rand.Read(make([]byte, 8))
					}
				}
				p := newScriptedClient
				if client {
					p = newScriptedServer
				}
				if followsSpin(p(t, option), client) {
					follow++
				}
			}
			low, high := 0, conns/20 // 24 bits are right by chance
			if on {
				low, high = conns*85/100, conns*99/100
			}
			if follow < low || follow > high {
				t.Errorf("client %v, on %v: %d of %d connections spin", client, on, follow, conns)
			}
		}
	}
}

// followsSpin tells whether conn's spin bits are what those of its peer call for.
func followsSpin(p *scripted, client bool) bool {
	p.handshake()
	follows, value := true, false
	exchange := func(bit bool) {
		pkt := scriptedPacket{slot: protect.OneRTT, clear: 0x20, frames: [][]byte{frame(wire.FramePing), frame(wire.FramePing)}}
		if bit {
			pkt.reserved = 0x20
		}
		p.send(pkt)
		p.spins = nil
		p.conn.Ping()
		p.drain()
		for _, spin := range p.spins {
			follows = follows && spin == value
		}
	}
	for i := range 12 {
		value = (i%3 == 0) != client
		exchange(i%3 == 0)
	}
	late := p.nextPN[2]
	p.nextPN[2]++
	value = !client
	exchange(true)
	p.nextPN[2], late = late, p.nextPN[2]
	exchange(false) // in a packet with a lower number than the last: value stays
	p.nextPN[2] = late
	return follows
}
