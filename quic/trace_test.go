package quic

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// traceFile is a file in memory.
type traceFile struct {
	bytes.Buffer
	closed int
	fail   bool
	writes int
}

func (f *traceFile) Close() error { f.closed++; return nil }

func (f *traceFile) Write(b []byte) (int, error) {
	f.writes++
	if f.fail {
		return 0, errors.New("the disk is full")
	}
	return f.Buffer.Write(b)
}

// traceRecord is an event, or the header, as it was read.
type traceRecord struct {
	Time float64
	Name string
	Data map[string]any
}

// readTrace reads a trace, strictly: each record is one of a JSON text sequence, times never fall.
func readTrace(t *testing.T, b []byte) (events []traceRecord) {
	t.Helper()
	last := 0.0
	for i, record := range bytes.Split(b, []byte{0x1e}) {
		if i == 0 {
			if len(record) > 0 {
				t.Fatalf("%q stands before the first record", record)
			}
			continue
		}
		if !bytes.HasSuffix(record, []byte("}\n")) || bytes.Count(record, []byte("\n")) != 1 || !json.Valid(record) {
			t.Fatalf("record %d is malformed: %q", i, record)
		}
		if i == 1 {
			continue
		}
		var r traceRecord
		if err := json.Unmarshal(record, &r); err != nil || r.Name == "" || r.Data == nil {
			t.Fatalf("record %d is no event: %q: %v", i, record, err)
		}
		if r.Time < last {
			t.Fatalf("record %d: time falls from %v to %v", i, last, r.Time)
		}
		last = r.Time
		events = append(events, r)
	}
	return events
}

func names(events []traceRecord) (out []string) {
	for i := range events {
		if !slices.Contains(out, events[i].Name) {
			out = append(out, events[i].Name)
		}
	}
	slices.Sort(out)
	return out
}

// A connection that is traced on both sides tells of all that happens on it, from its begin to its end, and of as many packets as were counted.
func TestTrace(t *testing.T) {
	var files [2]traceFile
	var ids [2]ConnID
	hook := func(side int) func(bool, ConnID) io.WriteCloser {
		return func(client bool, odcid ConnID) io.WriteCloser {
			if client != (side == 0) {
				t.Errorf("side %d is told that it is a client: %v", side, client)
			}
			ids[side] = odcid
			return &files[side]
		}
	}
	p := newPair(t, func(client, server *Config) { client.Qlog, server.Qlog = hook(0), hook(1) })
	id, err := p.client.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	p.client.StreamSend(id, make([]byte, 200_000), true)
	for range 300 {
		p.step()
		p.server.StreamRecv(id, make([]byte, 1<<16))
		p.now = p.now.Add(time.Millisecond)
		p.client.OnTimeout(p.now)
		p.server.OnTimeout(p.now)
	}
	hostile := "\x00\"\\\n\u2028\xff" + strings.Repeat("x", 200)
	p.client.Close(p.now, true, 7, hostile)
	p.run(func() bool { return p.client.IsDrained() && p.server.IsDrained() })
	if ids[0] != ids[1] || ids[0].Len() == 0 {
		t.Errorf("the original connection IDs are %v and %v", ids[0], ids[1])
	}
	for side, c := range []*Conn{p.client, p.server} {
		f := &files[side]
		if f.closed != 1 {
			t.Errorf("side %d: the file was closed %d times", side, f.closed)
		}
		events := readTrace(t, f.Bytes())
		for _, want := range []string{"quic:connection_started", "quic:parameters_set", "quic:version_information", "quic:alpn_information", "quic:packet_sent",
			"quic:packet_received", "quic:recovery_metrics_updated", "quic:congestion_state_updated", "quic:key_updated", "quic:key_discarded",
			"quic:mtu_updated", "quic:connection_closed", "quic:connection_state_updated"} {
			if !slices.Contains(names(events), want) {
				t.Errorf("side %d: there is no %s", side, want)
			}
		}
		sent, received, data := 0, 0, 0
		for _, ev := range events {
			switch ev.Name {
			case "quic:packet_sent":
				sent++
				for _, f := range ev.Data["frames"].([]any) {
					if f := f.(map[string]any); f["frame_type"] == "stream" {
						data += int(f["raw"].(map[string]any)["payload_length"].(float64))
					}
				}
			case "quic:packet_received":
				received++
			case "quic:connection_closed":
				if ev.Data["application_error"] != "unknown" || ev.Data["error_code"] != 7.0 ||
					!strings.HasPrefix(ev.Data["reason"].(string), "\x00\"\\\n\u2028") {
					t.Errorf("side %d: %v", side, ev.Data)
				}
			}
		}
		s := c.Stats()
		wantSchema(t, f.Bytes())
		if sent != int(s.PacketsSent) || received != int(s.PacketsReceived) {
			t.Errorf("side %d: %d packets sent and %d received, and %d and %d are counted", side, sent, received, s.PacketsSent, s.PacketsReceived)
		}
		if side == 0 && data != 200_000+int(s.StreamBytesResent) {
			t.Errorf("%d bytes of stream data were traced", data)
		}
	}
}

// What is traced is the same, datagram by datagram, as what is not.
func TestTraceChangesNothing(t *testing.T) {
	play := func(traced bool) (trains []Transmit) {
		p := newPair(t, func(client, server *Config) {
			for _, c := range []*Config{client, server} {
				c.NoGrease = true
				if traced {
					c.Qlog = func(bool, ConnID) io.WriteCloser { return new(traceFile) }
				}
			}
		})
		id, _ := p.client.OpenStream()
		p.client.StreamSend(id, make([]byte, 100_000), true)
		for i := range 200 {
			if out := p.client.Send(p.now, p.buf); out.N > 0 {
				trains = append(trains, out)
				if i%7 != 3 { // it is lost
					p.deliver(p.server, out)
				}
			}
			p.server.StreamRecv(id, make([]byte, 1<<16))
			if out := p.server.Send(p.now, p.buf); out.N > 0 {
				trains = append(trains, out)
				p.deliver(p.client, out)
			}
			p.now = p.now.Add(time.Millisecond)
			p.client.OnTimeout(p.now)
			p.server.OnTimeout(p.now)
		}
		return trains
	}
	plain, traced := play(false), play(true)
	if !slices.EqualFunc(plain, traced, func(a, b Transmit) bool { return a == b }) {
		t.Errorf("%d trains without a trace, %d with one, or others", len(plain), len(traced))
	}
}

// A writer that fails ends its trace, and nothing else.
func TestTraceWriterFails(t *testing.T) {
	f := &traceFile{fail: true}
	p := newPair(t, func(client, _ *Config) { client.Qlog = func(bool, ConnID) io.WriteCloser { return f } })
	id, _ := p.client.OpenStream()
	p.client.StreamSend(id, make([]byte, 100_000), true)
	for range 300 {
		p.step()
		p.server.StreamRecv(id, make([]byte, 1<<16))
		p.now = p.now.Add(10 * time.Millisecond)
		p.client.OnTimeout(p.now)
		p.server.OnTimeout(p.now)
	}
	if !p.client.IsEstablished() || f.writes != 1 {
		t.Errorf("established %v after %d writes, of which the first has failed", p.client.IsEstablished(), f.writes)
	}
	if f.closed != 1 || p.client.Traced() { // a server may have many such files
		t.Errorf("closed %d times when the writer had failed, still traced: %v", f.closed, p.client.Traced())
	}
	p.client.Release()
	if f.closed != 1 {
		t.Errorf("closed %d times", f.closed)
	}
	late := new(traceFile)
	if p.client.Trace(late, "", ""); late.closed != 1 || late.writes != 0 {
		t.Errorf("a connection that is over takes a trace: closed %d, writes %d", late.closed, late.writes)
	}
}

// A connection whose driver is gone has its trace closed at once, also where it was closed before and what had arrived is still to be read.
func TestTraceOfAbandoned(t *testing.T) {
	for _, closed := range []bool{false, true} {
		f := new(traceFile)
		p := newPair(t, func(_, server *Config) { server.Qlog = func(bool, ConnID) io.WriteCloser { return f } })
		if closed {
			p.client.Close(p.now, true, 7, "over")
			for p.step() {
			}
		}
		p.server.Abandon(p.now, errors.New("the socket is gone"))
		if f.closed != 1 || p.server.Traced() || !slices.Contains(names(readTrace(t, f.Bytes())), "quic:connection_closed") {
			t.Errorf("closed before: %v; the trace was closed %d times, and is %v", closed, f.closed, names(readTrace(t, f.Bytes())))
		}
	}
}

// Each side's trace has all transport parameters of both, as they were sent, but for reset tokens; what was given to TLS again is told again.
func TestTraceParameters(t *testing.T) {
	p := newPair(t, nil)
	var files [2]traceFile
	client, server := *p.client.cfg, *p.server.cfg
	client.Qlog = func(bool, ConnID) io.WriteCloser { return &files[0] }
	server.Qlog = func(bool, ConnID) io.WriteCloser { return &files[1] }
	server.PreferredAddress.IPv4, server.DisableActiveMigration = preferred4, true
	scid, _ := MakeConnID([]byte("cid-own"))
	id, _ := MakeConnID([]byte("cid-pref"))
	c, err := Connect(p.now, &client, ConnectParams{Local: p.client.LocalAddr(), Remote: p.client.RemoteAddr(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	origDst := hex.EncodeToString(c.hello.origDst.Bytes())
	s, err := Accept(p.now, &server, AcceptParams{SrcConnID: scid, AddressValidated: true, Local: p.client.RemoteAddr(), Remote: p.client.LocalAddr(),
		ResetToken: &[16]byte{1, 2}, Preferred: &IssuedConnID{Seq: 1, ID: id, ResetToken: [16]byte{7}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if err := errors.Join(c.SetMaxIdleTimeout(3*time.Second), s.SetMaxIdleTimeout(7*time.Second)); err != nil {
		t.Fatal(err)
	}
	own := &pair{t: t, now: p.now, client: c, server: s, buf: p.buf}
	own.run(func() bool { return c.hello == nil && s.hello == nil })
	for range 10 { // the ticket
		own.step()
	}
	c.Release()
	s.Release()

	var sets [2]map[string][]map[string]any
	for side := range files {
		wantSchema(t, files[side].Bytes())
		sets[side] = map[string][]map[string]any{}
		for _, ev := range readTrace(t, files[side].Bytes()) {
			if ev.Name == "quic:parameters_set" {
				who := ev.Data["initiator"].(string)
				delete(ev.Data, "initiator")
				sets[side][who] = append(sets[side][who], ev.Data)
			}
		}
	}
	ofClient, ofServer := sets[0]["local"], sets[1]["local"]
	if len(ofClient) != 2 || ofClient[0]["max_idle_timeout"] == 3000.0 || ofClient[1]["max_idle_timeout"] != 3000.0 {
		t.Fatalf("the client's own parameters: %v", ofClient)
	}
	tlsSet := map[string]any{"early_data_enabled": false, "tls_cipher": ofServer[len(ofServer)-1]["tls_cipher"], "unknown_parameters": []any{}}
	if len(ofServer) != 2 || ofServer[0]["max_idle_timeout"] != 7000.0 || !reflect.DeepEqual(ofServer[1], tlsSet) || !strings.Contains(ofServer[1]["tls_cipher"].(string), "_SHA") {
		t.Fatalf("the server's own parameters: %v", ofServer)
	}
	if ofOther := sets[1]["remote"]; len(ofOther) != 1 || !reflect.DeepEqual(ofOther[0], ofClient[1]) {
		t.Errorf("the client says that it has sent\n%v\nand the server that it got\n%v", ofClient[1], ofOther)
	}
	ticket := map[string]any{"resumption_allowed": true, "unknown_parameters": []any{}}
	if ofOther := sets[0]["remote"]; len(ofOther) < 3 || !reflect.DeepEqual(ofOther[:2], ofServer) || !reflect.DeepEqual(ofOther[2], ticket) {
		t.Errorf("the server says that it has sent\n%v\nand the client that it got\n%v", ofServer, ofOther)
	}
	for name, want := range map[string]any{"original_destination_connection_id": origDst, "stateless_reset_token": nil,
		"disable_active_migration": true, "preferred_address": map[string]any{"ip_v4": preferred4.Addr().String(), "port_v4": float64(preferred4.Port()),
			"connection_id": hex.EncodeToString([]byte("cid-pref")), "stateless_reset_token": ""}} {
		if got := ofServer[0][name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	unknown := ofServer[0]["unknown_parameters"].([]any)
	if !slices.ContainsFunc(unknown, func(p any) bool {
		version := p.(map[string]any)
		return version["id"] == 17.0 && strings.HasPrefix(version["value"].(string), "00000001")
	}) {
		t.Errorf("there is no version_information: %v", unknown)
	}
}

// A peer's parameters that the drafts of qlog have no field for are told of, some of them, and of the short ones what they hold.
func TestTraceUnknownParameters(t *testing.T) {
	b := wire.AppendVarint(nil, 0x3333)
	b = append(wire.AppendVarint(b, maxTracedParam+1), make([]byte, maxTracedParam+1)...)
	for i := range uint64(2 * maxTracedParams) {
		b = append(wire.AppendVarint(b, 0x4000+i), 1, byte(i))
	}
	got := parametersSet(qlog.Remote, new(wire.TransportParameters), b).Unknown
	if len(got) != maxTracedParams || got[0].ID != 0x3333 || got[0].Value != nil || got[1].ID != 0x4000 || !bytes.Equal(got[2].Value, []byte{1}) {
		t.Errorf("%d are told: %v", len(got), got[:3])
	}
}

// Losses are told with their reason, and duplicates and what does not open as dropped.
func TestTraceLossesAndDrops(t *testing.T) {
	var sender, receiver traceFile
	p := newPair(t, nil)
	p.client.Trace(&sender, "a title", "and more")
	p.server.Trace(&receiver, "", "")
	id, _ := p.client.OpenStream()
	p.client.StreamSend(id, make([]byte, 100_000), false)
	for i := range 100 {
		if out := p.client.Send(p.now, p.buf); out.N > 0 && i%5 != 2 {
			again, forged := bytes.Clone(p.buf[:out.N]), bytes.Clone(p.buf[:out.N])
			forged[len(forged)-1] ^= 1
			p.deliver(p.server, out)
			if i%5 == 3 {
				for _, b := range [][]byte{forged, again} {
					p.server.Recv(p.now, Train{Buf: b, SegSize: out.SegSize, Local: out.Remote, Remote: out.Local})
				}
			}
		}
		p.server.StreamRecv(id, make([]byte, 1<<16))
		if out := p.server.Send(p.now, p.buf); out.N > 0 {
			p.deliver(p.client, out)
		}
		p.now = p.now.Add(2 * time.Millisecond)
		p.client.OnTimeout(p.now)
	}
	p.client.Release()
	p.server.Release()
	lost := map[any]int{}
	for _, ev := range readTrace(t, sender.Bytes()) {
		if ev.Name == "quic:packet_lost" {
			lost[ev.Data["trigger"]]++
		}
	}
	if lost["reordering_threshold"]+lost["time_threshold"] == 0 {
		t.Errorf("losses by their triggers: %v", lost)
	}
	dropped := map[any]int{}
	for _, ev := range readTrace(t, receiver.Bytes()) {
		if ev.Name == "quic:packet_dropped" {
			dropped[ev.Data["trigger"]]++
		}
	}
	if dropped[string(qlog.DropDuplicate)] == 0 || dropped[string(qlog.DropUndecryptable)] == 0 {
		t.Errorf("drops by their triggers: %v", dropped)
	}
	if !strings.Contains(sender.String(), `"title":"a title","description":"and more"`) {
		t.Error("the title is not there")
	}
}
