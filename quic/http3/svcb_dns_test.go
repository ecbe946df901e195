package http3

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestNameServers(t *testing.T) {
	const file = "# comment\n; another\nsearch example.com\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 # x\nnameserver\nnameserver fe80::1%eth0\nnameserver 192.0.2.9\noptions ndots:5\n"
	want := []string{"192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%eth0]:53"}
	if got := nameServers(strings.NewReader(file)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// nameServer plays name servers in memory. answer is called for each question, and returns the messages that come back; none: it keeps silent.
type nameServer struct {
	mu     sync.Mutex
	asked  []string // "network addr"
	answer func(network, addr string, id uint16, name string) [][]byte
}

func (s *nameServer) resolver(servers ...string) *dnsResolver {
	return &dnsResolver{servers: func() []string { return servers }, dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "refuses:53" {
			return nil, errors.New("refused")
		}
		client, server := net.Pipe()
		go s.serve(server, network, addr)
		return client, nil
	}}
}

func (s *nameServer) serve(c net.Conn, network, addr string) {
	defer c.Close()
	s.mu.Lock()
	s.asked = append(s.asked, network+" "+addr)
	s.mu.Unlock()
	query := make([]byte, 512)
	if network == "tcp" {
		var head [2]byte
		io.ReadFull(c, head[:])
		query = query[:binary.BigEndian.Uint16(head[:])]
		io.ReadFull(c, query)
	} else {
		n, _ := c.Read(query)
		query = query[:n]
	}
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return
	}
	q, err := p.Question()
	if err != nil || q.Type != dnsmessage.TypeHTTPS || !h.RecursionDesired {
		return
	}
	for _, msg := range s.answer(network, addr, h.ID, strings.TrimSuffix(q.Name.String(), ".")) {
		if network == "tcp" {
			msg = append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
		}
		c.Write(msg)
	}
	io.Copy(io.Discard, c)
}

func TestLookupHTTPS(t *testing.T) {
	good := dnsAnswer{ttl: 300, https: []dnsmessage.SVCBResource{svcRecord(1, ".", alpnParam("h3"))}}
	truncated := dnsAnswer{header: dnsmessage.Header{Truncated: true}}
	failure := dnsAnswer{header: dnsmessage.Header{RCode: dnsmessage.RCodeServerFailure}}
	malformed := dnsAnswer{ttl: 300, https: []dnsmessage.SVCBResource{svcRecord(1, ".", svcParam(svcPort, 1))}}
	for _, tt := range []struct {
		name    string
		servers []string
		answer  func(network, addr string, id uint16, name string) [][]byte
		asked   string
		took    time.Duration
		records int
		err     bool
	}{
		{name: "answer", servers: []string{"a:53", "b:53"}, asked: "udp a:53", records: 1,
			answer: func(_, _ string, id uint16, name string) [][]byte { return [][]byte{good.pack(id, name)} }},
		{name: "too long for UDP", servers: []string{"a:53"}, asked: "udp a:53, tcp a:53", records: 1,
			answer: func(network, _ string, id uint16, name string) [][]byte {
				if network == "udp" {
					return [][]byte{truncated.pack(id, name)}
				}
				return [][]byte{good.pack(id, name)}
			}},
		{name: "guesses come first", servers: []string{"a:53"}, asked: "udp a:53", records: 1,
			answer: func(_, _ string, id uint16, name string) [][]byte {
				query := good.pack(id, name)
				query[2] &^= 0x80 // not an answer
				return [][]byte{{}, []byte("nonsense"), failure.pack(id+1, name), failure.pack(id, "other.com"), query, good.pack(id, name)}
			}},
		{name: "first one silent", servers: []string{"a:53", "b:53"}, asked: "udp a:53, udp b:53", took: nameServerWait, records: 1,
			answer: func(_, addr string, id uint16, name string) [][]byte {
				if addr == "a:53" {
					return nil
				}
				return [][]byte{good.pack(id, name)}
			}},
		{name: "first one fails, second one refuses", servers: []string{"a:53", "refuses:53", "b:53"}, asked: "udp a:53, udp b:53", records: 1,
			answer: func(_, addr string, id uint16, name string) [][]byte {
				if addr == "a:53" {
					return [][]byte{failure.pack(id, name)}
				}
				return [][]byte{good.pack(id, name)}
			}},
		{name: "malformed record", servers: []string{"a:53", "b:53"}, asked: "udp a:53", err: true,
			answer: func(_, _ string, id uint16, name string) [][]byte { return [][]byte{malformed.pack(id, name)} }},
		{name: "all silent", servers: []string{"a:53", "b:53", "c:53"}, asked: "udp a:53, udp b:53, udp c:53", took: 3 * nameServerWait, err: true,
			answer: func(_, _ string, id uint16, name string) [][]byte { return nil }},
		{name: "another answer over TCP", servers: []string{"a:53"}, asked: "udp a:53, tcp a:53", err: true,
			answer: func(network, _ string, id uint16, name string) [][]byte {
				if network == "udp" {
					return [][]byte{truncated.pack(id, name)}
				}
				return [][]byte{good.pack(id+1, name)}
			}},
		{name: "no name server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &nameServer{answer: tt.answer}
				began := time.Now()
				records, ttl, err := s.resolver(tt.servers...).LookupHTTPS(t.Context(), "example.com")
				if (err != nil) != tt.err || len(records) != tt.records || err == nil && ttl == 0 {
					t.Errorf("%v for %v, %v; want %d records", records, ttl, err, tt.records)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				synctest.Wait()
				if got := strings.Join(s.asked, ", "); got != tt.asked {
					t.Errorf("asked: %s; want %s", got, tt.asked)
				}
			})
		})
	}
}

// A name that cannot be in the DNS is an error, and nobody is asked.
func TestLookupHTTPSBadName(t *testing.T) {
	s := &nameServer{}
	for _, name := range []string{strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 200) + "com", "a..b"} {
		if records, _, err := s.resolver("a:53").LookupHTTPS(t.Context(), name); err == nil {
			t.Errorf("%.20s…: %v", name, records)
		}
	}
	if len(s.asked) > 0 {
		t.Error("asked: ", s.asked)
	}
}

// fakeDNS is an HTTPSResolver with records by name.
type fakeDNS struct {
	records map[string][]HTTPSRecord
	ttl     time.Duration
	delay   time.Duration
	err     error

	mu    sync.Mutex
	asked []string
}

func (f *fakeDNS) LookupHTTPS(ctx context.Context, name string) ([]HTTPSRecord, time.Duration, error) {
	f.mu.Lock()
	f.asked = append(f.asked, name)
	f.mu.Unlock()
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return f.records[name], f.ttl, f.err
}

func (f *fakeDNS) names() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, " ")
}

func (f *fakeDNS) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func TestResolveHTTPS(t *testing.T) {
	h3 := []string{"h3"}
	long := map[string][]HTTPSRecord{}
	for i := range 30 {
		long[string(rune('a'+i))] = []HTTPSRecord{{Target: string(rune('a' + i + 1))}}
	}
	for _, tt := range []struct {
		name       string
		host, port string
		records    map[string][]HTTPSRecord
		want       string
		asked      string
	}{
		{name: "default port", host: "a", port: "443", records: map[string][]HTTPSRecord{"a": {{Priority: 1, Target: "a", ALPN: h3}}}, want: "a:443", asked: "a"},
		{name: "other port", host: "a", port: "8443", records: map[string][]HTTPSRecord{"_8443._https.a": {{Priority: 1, Target: "b", ALPN: h3}}},
			want: "b:8443", asked: "_8443._https.a"},
		{name: "order, ports and hints", host: "a", port: "443", records: map[string][]HTTPSRecord{"a": {
			{Priority: 3, Target: "c", ALPN: h3, Port: 9}, {Priority: 1, Target: "a", ALPN: []string{"h2"}},
			{Priority: 2, Target: "b", ALPN: []string{"h2", "h3"}, Hints: parseAddrs("192.0.2.1", "2001:db8::1")}}},
			want: "192.0.2.1:443 [2001:db8::1]:443 b:443 c:9", asked: "a"},
		{name: "no HTTP/3", host: "a", port: "443", records: map[string][]HTTPSRecord{"a": {{Priority: 1, Target: "a", ALPN: []string{"h2", "h3-29"}}}}, asked: "a"},
		{name: "aliases", host: "a", port: "443", records: map[string][]HTTPSRecord{"a": {{Target: "b"}}, "b": {{Target: "c"}}, "c": {{Priority: 1, Target: "d", ALPN: h3}}},
			want: "d:443", asked: "a b c"},
		{name: "alias beside a service", host: "a", port: "443", records: map[string][]HTTPSRecord{"a": {{Priority: 1, Target: "x", ALPN: h3}, {Target: "b"}}}, asked: "a b"},
		{name: "alias to nothing", host: "a", port: "443", records: map[string][]HTTPSRecord{"a": {{}}}, asked: "a"},
		{name: "alias to itself", host: "a", port: "443", records: map[string][]HTTPSRecord{"a": {{Target: "a"}}}, asked: strings.TrimSpace(strings.Repeat("a ", maxAliases+1))},
		{name: "too many aliases", host: "a", port: "443", records: long, asked: "a b c d e f g h i"},
	} {
		f := &fakeDNS{records: tt.records, ttl: time.Hour}
		addrs, ttl, err := resolveHTTPS(t.Context(), f, tt.host, tt.port)
		if got := strings.Join(addrs, " "); got != tt.want || err != nil || ttl != time.Hour {
			t.Errorf("%s: %q for %v, %v; want %q", tt.name, got, ttl, err, tt.want)
		}
		if f.names() != tt.asked {
			t.Errorf("%s: asked for %q, want %q", tt.name, f.names(), tt.asked)
		}
	}
}

// Of several aliases one is taken at random (RFC 9460, section 2.4.2).
func TestResolveHTTPSAliases(t *testing.T) {
	dns := &fakeDNS{records: map[string][]HTTPSRecord{
		"a": {{Target: "b"}, {Target: "c"}}, "b": {{Priority: 1, Target: "b", ALPN: []string{"h3"}}}, "c": {{Priority: 1, Target: "c", ALPN: []string{"h3"}}}}}
	got := make(map[string]bool)
	for range 200 {
		addrs, _, err := resolveHTTPS(t.Context(), dns, "a", "443")
		if err != nil {
			t.Fatal(err)
		}
		got[strings.Join(addrs, " ")] = true
	}
	if len(got) != 2 || !got["b:443"] || !got["c:443"] {
		t.Errorf("200 times: %v", got)
	}
}
