package quic

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// secrets are what no trace may hold, each with what it is.
type secrets map[string][]byte

func (s secrets) add(what string, b []byte) {
	if len(b) >= 16 {
		s[what+" "+hex.EncodeToString(b)] = b
	}
}

// addTokens adds the stateless reset tokens that a connection has given to its peer, and those that it got.
func (s secrets) addTokens(c *Conn) {
	for i := range c.local.ids {
		s.add("reset token", c.local.ids[i].token[:])
	}
	for i := range c.peer.ids {
		if c.peer.ids[i].hasToken {
			s.add("reset token", c.peer.ids[i].token[:])
		}
	}
}

// addKeyLog adds the secrets of a file in the format of SSLKEYLOGFILE.
func (s secrets) addKeyLog(t *testing.T, text string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		b, err := hex.DecodeString(fields[len(fields)-1])
		if len(fields) != 3 || err != nil {
			t.Fatalf("the key log has %q: %v", line, err)
		}
		s.add("key "+fields[0], b)
	}
}

// count returns how many there are of a kind.
func (s secrets) count(kind string) (n int) {
	for what := range s {
		if strings.HasPrefix(what, kind+" ") {
			n++
		}
	}
	return n
}

// foundIn returns those of which a trace has twelve bytes in a row, as they are, in hexadecimal or in base64, sorted.
func (s secrets) foundIn(trace []byte) (found []string) {
	lower := bytes.ToLower(trace)
	for what, b := range s {
		in := false
		for i := 0; i+12 <= len(b) && !in; i++ {
			part := b[i : i+12]
			if len(slices.Compact(slices.Sorted(slices.Values(part)))) < 6 {
				continue // zeros and the like, which are no secret
			}
			in = bytes.Contains(trace, part) || bytes.Contains(lower, []byte(hex.EncodeToString(part))) ||
				bytes.Contains(trace, []byte(base64.StdEncoding.EncodeToString(part))) || bytes.Contains(trace, []byte(base64.URLEncoding.EncodeToString(part)))
		}
		if in {
			found = append(found, what)
		}
	}
	slices.Sort(found)
	return found
}

// What ends a connection, opens its packets, spares a client the handshake or is the application's is in no trace: reset tokens, also that of a preferred
// address, tokens of Retry and NEW_TOKEN, tickets, secrets of TLS, keys of a Config, data of streams and datagrams.
func TestTraceHoldsNoSecrets(t *testing.T) {
	const words = "what the application says is nobody's but its own"
	all := secrets{}
	for _, in := range []string{"0-RTT", "stream", "datagram", "settings"} {
		all.add("data", []byte(in+": "+words))
	}
	var keys bytes.Buffer
	var files []*traceFile
	traced := func(c *Config) {
		c.TLS.KeyLogWriter, c.MaxDatagramFrameSize = &keys, 65535
		c.Qlog = func(bool, ConnID) io.WriteCloser {
			f := new(traceFile)
			files = append(files, f)
			return f
		}
	}
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, retryAlways, traced, func(c *Config) {
		c.EarlyData, c.PreferredAddress.IPv4 = true, preferred4
		c.TokenKey, c.StatelessResetKey = &[32]byte{1: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, &[32]byte{1: 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33}
		all.add("config", c.TokenKey[:])
		all.add("config", c.StatelessResetKey[:])
	}))
	client := w.host(clientHost, nil)
	w.tap = func(d testDatagram) {
		h, n := wire.ConsumeLongHeader(d.b)
		if n < 0 {
			return
		}
		if from := map[netip.AddrPort]string{serverHost: "Retry token", clientHost: "token that is used"}[d.from]; from != "" {
			all.add(from, h.Token)
		}
	}
	cfg := endpointConfig(2, traced)
	var session *Session
	for range 2 {
		early := session != nil
		c := client.connect(cfg, ConnectParams{Session: session, EarlyData: early})
		client.read(c)
		if early {
			sendAll(t, c, "0-RTT: "+words)
		}
		w.run(func() bool { return c.tls.confirmed && len(server.live) == 1 && server.live[0].tls.confirmed })
		s := server.live[0]
		for _, c := range []*Conn{c, s} {
			sendAll(t, c, "stream: "+words)
			if err := c.DatagramSend([]byte("datagram: " + words)); err != nil {
				t.Fatal(err)
			}
		}
		w.run(func() bool { return s.DatagramsReadable() > 0 && c.DatagramsReadable() > 0 && len(w.queue) == 0 })
		all.addTokens(c)
		all.addTokens(s)
		for _, ev := range client.events {
			if ev.Kind == EventSession {
				session = ev.Session
				session.SetAppData([]byte("settings: " + words))
				all.add("ticket", session.ticket)
				all.add("NEW_TOKEN token", session.token)
			}
		}
		if early && c.EarlyData() != EarlyAccepted {
			t.Errorf("0-RTT is %v", c.EarlyData())
		}
		c.Close(w.now, true, 0, "")
		w.run(func() bool { return len(server.live) == 0 && len(client.live) == 0 })
	}
	all.addKeyLog(t, keys.String())

	if len(files) != 4 {
		t.Fatalf("there are %d traces, want one of each side of two connections", len(files))
	}
	for i, f := range files {
		if found := all.foundIn(f.Bytes()); len(found) > 0 {
			t.Errorf("trace %d of %d bytes holds %d secrets:\n%s", i, f.Len(), len(found), strings.Join(found, "\n"))
		}
		for _, want := range []string{"new_connection_id", "new_token", "stream", "datagram", "crypto"} {
			if !strings.Contains(f.String(), `"frame_type":"`+want+`"`) {
				t.Errorf("trace %d has no frame %s", i, want)
			}
		}
		if !strings.Contains(f.String(), `"preferred_address"`) {
			t.Errorf("trace %d has no preferred address", i)
		}
	}
	for kind, least := range map[string]int{"reset token": 6, "Retry token": 1, "token that is used": 2, "ticket": 2, "NEW_TOKEN token": 2, "key": 9, "config": 2, "data": 4} {
		if n := all.count(kind); n < least {
			t.Errorf("only %d secrets are known of the kind %s", n, kind)
		}
	}
}

// sendAll sends a message on a stream of its own.
func sendAll(t *testing.T, c *Conn, msg string) {
	t.Helper()
	id, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.StreamSend(id, []byte(msg), true); n != len(msg) || err != nil {
		t.Fatal(n, err)
	}
}
