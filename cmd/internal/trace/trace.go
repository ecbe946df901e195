package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/boringquic/boringquic/cmd/internal/netem"
)

// Type is a type of packet.
type Type int

// The types of packet (RFC 9000, section 17).
const (
	Initial Type = iota
	ZeroRTT
	Handshake
	OneRTT
	Retry
	VersionNegotiation
)

// String returns the type's name.
func (t Type) String() string {
	return [...]string{"Initial", "0-RTT", "Handshake", "1-RTT", "Retry", "Version Negotiation"}[t]
}

// Packet is a QUIC packet.
type Packet struct {
	Datagram   int           // the index of the record that it was in
	Record     *netem.Record // that
	FromClient bool
	Type       Type
	Version    uint32 // of a long header
	DCID, SCID []byte
	Token      []byte // of Initial and Retry packets
	Conn       *Conn  // nil: it is of none that is known

	Opened  bool // what follows is known
	PN      int64
	Gen     int // of the 1-RTT keys; its lowest bit is the key phase
	Payload int // bytes of plaintext
	Size    int // bytes from the packet number on, as they travel
	Frames  []Frame

	raw   []byte
	pnOff int
}

// Has tells whether there is a frame of a type.
func (p *Packet) Has(typ uint64) bool {
	for i := range p.Frames {
		if p.Frames[i].Type == typ {
			return true
		}
	}
	return false
}

// Conn is a connection.
type Conn struct {
	ClientID []byte    // its connection ID
	Random   []byte    // of ClientHello; nil: not seen
	Suites   []uint16  // that ClientHello offers
	Suite    uint16    // that ServerHello chooses
	Server   []Message // of the server's first flight
	Hellos   int       // ClientHellos seen, those that were sent again included: Initial packets with the begin of the stream

	// Params are the server's transport parameters, by number.
	Params map[uint64][]byte

	initial  []map[bool]map[uint32]*opener // by the connection ID that they come from, the direction, the version
	odcids   [][]byte
	crypto   [2][4]assembler // by the direction (1: from the client) and the type of packet
	openers  map[string]*opener
	serverID [][]byte // connection IDs by which the server is known
	clientID [][]byte
}

// Trace is what was seen.
type Trace struct {
	Packets []*Packet // in order
	Conns   []*Conn   // in the order of their first packets
	Errors  []error   // what is no QUIC, or no frame, though it was authentic

	log keyLog
}

// Read takes apart what one side has seen.
func Read(records []netem.Record, keys []byte) *Trace {
	t := &Trace{log: parseKeyLog(keys)}
	for i := range records {
		t.split(i, &records[i])
	}
	for _, p := range t.Packets {
		t.openInitial(p)
	}
	for _, c := range t.Conns {
		c.learn()
	}
	for _, p := range t.Packets {
		if p.Type == ZeroRTT || p.Type == Handshake || p.Type == OneRTT {
			t.open(p)
		}
	}
	for _, c := range t.Conns {
		c.learnParams()
	}
	return t
}

// split takes a datagram apart (RFC 9000, section 12.2).
func (t *Trace) split(i int, rec *netem.Record) {
	fromClient := rec.Sent == (rec.Side == netem.ClientSide)
	b := rec.Data
	for len(b) > 0 {
		p := &Packet{Datagram: i, Record: rec, FromClient: fromClient}
		if b[0]&0x80 == 0 {
			p.Type, p.raw = OneRTT, b
			t.Packets = append(t.Packets, p)
			return
		}
		r := &reader{b: b[1:]}
		p.Version = uint32(r.uint(4))
		p.DCID = r.bytes(r.uint(1))
		p.SCID = r.bytes(r.uint(1))
		v := versions[p.Version]
		switch {
		case r.bad:
			return // damaged, or no QUIC
		case p.Version == 0:
			p.Type = VersionNegotiation
			t.Packets = append(t.Packets, p)
			return
		case v == nil:
			return
		}
		p.Type = v.longTypes[b[0]>>4&3]
		switch p.Type {
		case Retry:
			if len(r.b) >= 16 {
				p.Token = r.b[:len(r.b)-16]
				t.Packets = append(t.Packets, p)
			}
			return
		case Initial:
			p.Token = r.bytes(r.varint())
		}
		length := r.varint()
		p.pnOff = len(b) - len(r.b)
		if r.bad || length > uint64(len(r.b)) {
			return
		}
		p.raw = b[:p.pnOff+int(length)]
		b = b[len(p.raw):]
		t.Packets = append(t.Packets, p)
	}
}

// connOf finds the connection of a packet with a long header: by the client's connection ID.
func (t *Trace) connOf(p *Packet, create bool) *Conn {
	id := p.DCID
	if p.FromClient {
		id = p.SCID
	}
	for _, c := range t.Conns {
		if bytes.Equal(c.ClientID, id) {
			return c
		}
	}
	if !create {
		return nil
	}
	c := &Conn{ClientID: id, openers: make(map[string]*opener), clientID: [][]byte{id}}
	t.Conns = append(t.Conns, c)
	return c
}

// openInitial opens an Initial packet.
func (t *Trace) openInitial(p *Packet) {
	if p.Type == OneRTT || p.Type == VersionNegotiation {
		return
	}
	p.Conn = t.connOf(p, false)
	if p.Type != Initial {
		return
	}
	isNew := p.Conn == nil
	if isNew {
		if !p.FromClient {
			return
		}
		p.Conn = t.connOf(p, true)
	}
	c := p.Conn
	if !c.tryInitial(t, p) && p.FromClient {
		c.odcids = append(c.odcids, p.DCID) // of a first packet, or of the first after Retry
		c.initial = append(c.initial, map[bool]map[uint32]*opener{true: {}, false: {}})
		if !c.tryInitial(t, p) {
			c.odcids, c.initial = c.odcids[:len(c.odcids)-1], c.initial[:len(c.initial)-1]
			if isNew { // damaged on its way: its connection ID may be
				t.Conns, p.Conn = t.Conns[:len(t.Conns)-1], nil
			}
		}
	}
}

func (c *Conn) tryInitial(t *Trace, p *Packet) bool {
	for i := len(c.odcids) - 1; i >= 0; i-- {
		o := c.initial[i][p.FromClient][p.Version]
		if o == nil {
			o = initialOpener(versions[p.Version], c.odcids[i], p.FromClient)
			c.initial[i][p.FromClient][p.Version] = o
		}
		if p.openWith(t, o) {
			return true
		}
	}
	return false
}

// openWith opens a packet and notes what is in it.
func (p *Packet) openWith(t *Trace, o *opener) bool {
	plain, pn, gen, ok := o.open(p.raw, p.pnOff, p.Type == OneRTT)
	if !ok {
		return false
	}
	p.Opened, p.PN, p.Gen, p.Payload, p.Size = true, pn, gen, len(plain), len(p.raw)-p.pnOff
	var err error
	if p.Frames, err = parseFrames(plain); err != nil {
		t.Errors = append(t.Errors, fmt.Errorf("%v packet %d: %w", p.Type, pn, err))
	}
	c := p.Conn
	if p.Type != OneRTT && !p.FromClient {
		c.serverID = append(c.serverID, p.SCID)
	}
	for i := range p.Frames {
		f := &p.Frames[i]
		switch f.Type {
		case FrameCrypto:
			if p.Type == Initial && p.FromClient && f.Off == 0 {
				c.Hellos++
			}
			c.crypto[direction(p.FromClient)][p.Type].add(f.Off, f.Data)
		case FrameNewConnID:
			if p.FromClient {
				c.clientID = append(c.clientID, f.Data)
			} else {
				c.serverID = append(c.serverID, f.Data)
			}
		}
	}
	return true
}

func direction(fromClient bool) int {
	if fromClient {
		return 1
	}
	return 0
}

// learn reads the hellos.
func (c *Conn) learn() {
	for _, m := range c.crypto[1][Initial].messages() {
		r := &reader{b: m.Body}
		r.bytes(2)
		random := r.bytes(32)
		r.bytes(r.uint(1))
		suites := r.bytes(r.uint(2))
		if m.Type != ClientHello || r.bad {
			continue
		}
		c.Random, c.Suites = random, nil
		for ; len(suites) >= 2; suites = suites[2:] {
			c.Suites = append(c.Suites, binary.BigEndian.Uint16(suites))
		}
	}
	for _, m := range c.crypto[0][Initial].messages() {
		r := &reader{b: m.Body}
		r.bytes(2 + 32)
		r.bytes(r.uint(1))
		if suite := uint16(r.uint(2)); m.Type == ServerHello && !r.bad {
			c.Suite = suite
		}
	}
}

// learnParams reads the server's first flight.
func (c *Conn) learnParams() {
	c.Server = c.crypto[0][Handshake].messages()
	for _, m := range c.Server {
		if m.Type != EncryptedExtensions {
			continue
		}
		r := &reader{b: m.Body}
		all := &reader{b: r.bytes(r.uint(2))}
		for len(all.b) > 0 && !all.bad {
			typ := all.uint(2)
			body := all.bytes(all.uint(2))
			if typ != 0x39 { // RFC 9001, section 8.2
				continue
			}
			c.Params = make(map[uint64][]byte)
			for ps := (&reader{b: body}); len(ps.b) > 0 && !ps.bad; {
				id := ps.varint()
				c.Params[id] = ps.bytes(ps.varint())
			}
		}
	}
}

// CryptoEnd returns where the crypto stream of a type of packet ends as far as it is whole, in bytes.
func (c *Conn) CryptoEnd(fromClient bool, typ Type) int {
	return len(c.crypto[direction(fromClient)][typ].b)
}

// HasServer tells whether a message is in the server's first flight.
func (c *Conn) HasServer(typ byte) bool {
	for _, m := range c.Server {
		if m.Type == typ {
			return true
		}
	}
	return false
}

// Varint reads a transport parameter that is a number.
func (c *Conn) Varint(id uint64) (v uint64, ok bool) {
	b, ok := c.Params[id]
	if !ok {
		return 0, false
	}
	r := &reader{b: b}
	v = r.varint()
	return v, !r.bad
}

// labels are those of the key log, by type of packet; of the server, and of the client.
var labels = map[Type][2]string{
	ZeroRTT:   {"", "CLIENT_EARLY_TRAFFIC_SECRET"},
	Handshake: {"SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET"},
	OneRTT:    {"SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0"},
}

// open opens a packet of the other types.
func (t *Trace) open(p *Packet) {
	if p.Type != OneRTT {
		if p.Conn != nil {
			p.Conn.tryOpen(t, p, p.Version)
		}
		return
	}
	for _, known := range []bool{true, false} { // first by a connection ID that is known, then by trial
		for _, c := range t.Conns {
			ids := c.clientID
			if p.FromClient {
				ids = c.serverID
			}
			tried := 0
			for _, id := range ids {
				if len(p.raw) < 1+len(id) || known != bytes.Equal(p.raw[1:1+len(id)], id) || !known && tried == len(id) {
					continue
				}
				tried = len(id)
				p.Conn, p.pnOff = c, 1+len(id)
				p.DCID = p.raw[1 : 1+len(id)]
				if c.tryOpen(t, p, c.version()) {
					return
				}
			}
		}
	}
	p.Conn, p.DCID = nil, nil
}

// version returns the version in use: that of the server's Handshake packets, or what there is.
func (c *Conn) version() uint32 {
	for _, v := range []uint32{Version2, Version1} {
		for _, o := range c.openers {
			if o.v == versions[v] && o.largest >= 0 {
				return v
			}
		}
	}
	return Version1
}

func (c *Conn) tryOpen(t *Trace, p *Packet, version uint32) bool {
	key := fmt.Sprint(p.Type, p.FromClient, version)
	o := c.openers[key]
	if o == nil {
		label := labels[p.Type][direction(p.FromClient)]
		secret := t.log.secret(label, c.Random)
		suite := c.Suite
		if p.Type == ZeroRTT && suite == 0 {
			suite = 0x1301
		}
		if c.Random == nil || secret == nil {
			return false
		}
		if o = newOpener(versions[version], suite, secret); o == nil {
			return false
		}
		if early := c.openers[fmt.Sprint(ZeroRTT, true, version)]; p.Type == OneRTT && p.FromClient && early != nil {
			o.largest = early.largest // one packet number space
		}
		c.openers[key] = o
	}
	return p.openWith(t, o)
}
