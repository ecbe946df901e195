package http3

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func svcName(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

func svcParam(key dnsmessage.SVCParamKey, value ...byte) dnsmessage.SVCParam {
	return dnsmessage.SVCParam{Key: key, Value: value}
}

func svcRecord(priority uint16, target string, params ...dnsmessage.SVCParam) dnsmessage.SVCBResource {
	return dnsmessage.SVCBResource{Priority: priority, Target: svcName(target), Params: params}
}

// alpnParam is the parameter for some protocols.
func alpnParam(names ...string) dnsmessage.SVCParam {
	var v []byte
	for _, n := range names {
		v = append(append(v, byte(len(n))), n...)
	}
	return svcParam(svcALPN, v...)
}

func TestHTTPSRecord(t *testing.T) {
	const owner = "example.com"
	for _, tt := range []struct {
		name   string
		record dnsmessage.SVCBResource
		want   HTTPSRecord // of one that is used
		ignore bool
		bad    bool
	}{
		{name: "service at its own name", record: svcRecord(1, ".", alpnParam("h2", "h3")),
			want: HTTPSRecord{Priority: 1, Target: owner, ALPN: []string{"h2", "h3", "http/1.1"}}},
		{name: "all parameters", record: svcRecord(2, "svc.example.net.", svcParam(svcMandatory, 0, 1, 0, 3), alpnParam("h3"), svcParam(svcNoDefaultALPN),
			svcParam(svcPort, 0x20, 0xfb), svcParam(svcIPv4Hint, 192, 0, 2, 1, 192, 0, 2, 2), svcParam(5, 1, 2, 3),
			svcParam(svcIPv6Hint, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)),
			want: HTTPSRecord{Priority: 2, Target: "svc.example.net", ALPN: []string{"h3"}, Port: 8443,
				Hints: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}}},
		{name: "unknown key", record: svcRecord(1, ".", svcParam(667, 1)), want: HTTPSRecord{Priority: 1, Target: owner, ALPN: []string{"http/1.1"}}},
		{name: "alias", record: svcRecord(0, "pool.example.net."), want: HTTPSRecord{Target: "pool.example.net"}},
		{name: "alias, whose parameters mean nothing", record: svcRecord(0, "pool.example.net.", svcParam(svcPort, 1)), want: HTTPSRecord{Target: "pool.example.net"}},
		{name: "alias to nothing", record: svcRecord(0, "."), want: HTTPSRecord{}},
		{name: "address that is none", record: svcRecord(1, ".", svcParam(svcIPv4Hint, 0, 0, 0, 0)), want: HTTPSRecord{Priority: 1, Target: owner, ALPN: []string{"http/1.1"}}},

		{name: "mandatory key that is not known", record: svcRecord(1, ".", svcParam(svcMandatory, 2, 155), alpnParam("h3"), svcParam(667, 1)), ignore: true},
		{name: "mandatory ECH", record: svcRecord(1, ".", svcParam(svcMandatory, 0, 5), alpnParam("h3"), svcParam(5, 1)), ignore: true},
		{name: "no-default-alpn without alpn", record: svcRecord(1, ".", svcParam(svcNoDefaultALPN)), ignore: true},
		{name: "port 0", record: svcRecord(1, ".", svcParam(svcPort, 0, 0)), ignore: true},
		{name: "target that no host has", record: svcRecord(1, "a/b.example.", alpnParam("h3")), ignore: true},

		{name: "mandatory key that is not there", record: svcRecord(1, ".", svcParam(svcMandatory, 0, 3), alpnParam("h3")), bad: true},
		{name: "mandatory keys out of order", record: svcRecord(1, ".", svcParam(svcMandatory, 0, 3, 0, 1), alpnParam("h3"), svcParam(svcPort, 1, 1)), bad: true},
		{name: "mandatory key twice", record: svcRecord(1, ".", svcParam(svcMandatory, 0, 1, 0, 1), alpnParam("h3")), bad: true},
		{name: "mandatory names itself", record: svcRecord(1, ".", svcParam(svcMandatory, 0, 0)), bad: true},
		{name: "mandatory is empty", record: svcRecord(1, ".", svcParam(svcMandatory)), bad: true},
		{name: "mandatory is cut short", record: svcRecord(1, ".", svcParam(svcMandatory, 0)), bad: true},
		{name: "alpn is empty", record: svcRecord(1, ".", svcParam(svcALPN)), bad: true},
		{name: "alpn with an empty name", record: svcRecord(1, ".", svcParam(svcALPN, 0)), bad: true},
		{name: "alpn is cut short", record: svcRecord(1, ".", svcParam(svcALPN, 3, 'h', '3')), bad: true},
		{name: "no-default-alpn with a value", record: svcRecord(1, ".", alpnParam("h3"), svcParam(svcNoDefaultALPN, 1)), bad: true},
		{name: "port of one byte", record: svcRecord(1, ".", svcParam(svcPort, 1)), bad: true},
		{name: "ipv4hint is empty", record: svcRecord(1, ".", svcParam(svcIPv4Hint)), bad: true},
		{name: "ipv4hint is cut short", record: svcRecord(1, ".", svcParam(svcIPv4Hint, 1, 2, 3)), bad: true},
		{name: "ipv6hint is cut short", record: svcRecord(1, ".", svcParam(svcIPv6Hint, 1, 2, 3, 4)), bad: true},
		{name: "keys out of order", record: svcRecord(1, ".", svcParam(svcPort, 1, 1), alpnParam("h3")), bad: true},
		{name: "key twice", record: svcRecord(1, ".", alpnParam("h3"), alpnParam("h3")), bad: true},
	} {
		got, usable, err := readHTTPSRecord(&tt.record, owner)
		switch {
		case tt.bad:
			if !errors.Is(err, errMalformedHTTPS) || usable {
				t.Errorf("%s: %v, %v; want an error", tt.name, got, err)
			}
		case tt.ignore:
			if err != nil || usable {
				t.Errorf("%s: %v, usable %v, %v; want it ignored", tt.name, got, usable, err)
			}
		case err != nil || !usable || !reflect.DeepEqual(got, tt.want):
			t.Errorf("%s: %+v, usable %v, %v; want %+v", tt.name, got, usable, err, tt.want)
		}
	}
}

// dnsAnswer makes an answer to a query for the HTTPS records of a name.
type dnsAnswer struct {
	header dnsmessage.Header
	cnames [][2]string
	owner  string // of the records; empty: the name
	ttl    uint32
	https  []dnsmessage.SVCBResource
	soa    *dnsmessage.SOAResource
}

func (a dnsAnswer) pack(id uint16, name string) []byte {
	h := a.header
	h.ID, h.Response = id, true
	m := dnsmessage.Message{Header: h, Questions: []dnsmessage.Question{{Name: svcName(name + "."), Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET}}}
	for _, c := range a.cnames {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: svcName(c[0]), Class: dnsmessage.ClassINET, TTL: 200},
			Body:   &dnsmessage.CNAMEResource{CNAME: svcName(c[1])}})
	}
	owner := a.owner
	if owner == "" {
		owner = name + "."
	}
	for i := range a.https {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: svcName(owner), Class: dnsmessage.ClassINET, TTL: a.ttl},
			Body:   &dnsmessage.HTTPSResource{SVCBResource: a.https[i]}})
	}
	if a.soa != nil {
		m.Authorities = append(m.Authorities, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: svcName("example.com."), Class: dnsmessage.ClassINET, TTL: 900}, Body: a.soa})
	}
	msg, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return msg
}

func TestHTTPSAnswer(t *testing.T) {
	const name = "example.com"
	h3 := svcRecord(1, ".", alpnParam("h3"))
	soa := &dnsmessage.SOAResource{NS: svcName("ns."), MBox: svcName("m."), MinTTL: 77}
	for _, tt := range []struct {
		name   string
		answer dnsAnswer
		want   []string // targets
		ttl    time.Duration
		err    bool
	}{
		{name: "one", answer: dnsAnswer{ttl: 300, https: []dnsmessage.SVCBResource{h3}}, want: []string{name}, ttl: 300 * time.Second},
		{name: "none", answer: dnsAnswer{}, ttl: negativeTTL},
		{name: "none, with a SOA", answer: dnsAnswer{soa: soa}, ttl: 77 * time.Second},
		{name: "no such name", answer: dnsAnswer{header: dnsmessage.Header{RCode: dnsmessage.RCodeNameError}, soa: soa}, ttl: 77 * time.Second},
		{name: "failure", answer: dnsAnswer{header: dnsmessage.Header{RCode: dnsmessage.RCodeServerFailure}}, err: true},
		{name: "by CNAMEs", answer: dnsAnswer{cnames: [][2]string{{"b.", "c."}, {"EXAMPLE.com.", "b."}}, owner: "C.", ttl: 300,
			https: []dnsmessage.SVCBResource{h3}}, want: []string{"c"}, ttl: 200 * time.Second},
		{name: "CNAMEs in a circle", answer: dnsAnswer{cnames: [][2]string{{"example.com.", "b."}, {"b.", "example.com."}}}, ttl: 200 * time.Second},
		{name: "of somebody else", answer: dnsAnswer{owner: "other.", ttl: 300, https: []dnsmessage.SVCBResource{h3}}, ttl: negativeTTL},
		{name: "one malformed among several", answer: dnsAnswer{ttl: 300,
			https: []dnsmessage.SVCBResource{h3, svcRecord(1, ".", svcParam(svcPort, 1))}}, err: true},
		{name: "one ignored among several", answer: dnsAnswer{ttl: 300,
			https: []dnsmessage.SVCBResource{svcRecord(1, "x.", svcParam(svcPort, 0, 0)), h3}}, want: []string{name}, ttl: 300 * time.Second},
	} {
		records, ttl, err := readHTTPSAnswer(tt.answer.pack(1, name), name)
		var got []string
		for _, r := range records {
			got = append(got, r.Target)
		}
		if (err != nil) != tt.err || !tt.err && (ttl != tt.ttl || !reflect.DeepEqual(got, tt.want)) {
			t.Errorf("%s: %v for %v, %v; want %v for %v", tt.name, got, ttl, err, tt.want, tt.ttl)
		}
	}
}

// No answer of a name server, who may be anybody, breaks the parser.
func FuzzHTTPSAnswer(f *testing.F) {
	full := svcRecord(1, "svc.", svcParam(svcMandatory, 0, 1), alpnParam("h3"), svcParam(svcPort, 1, 1), svcParam(svcIPv4Hint, 1, 2, 3, 4))
	f.Add(dnsAnswer{ttl: 300, https: []dnsmessage.SVCBResource{full}}.pack(1, "example.com"))
	f.Add(dnsAnswer{ttl: 300, cnames: [][2]string{{"example.com.", "b."}}, https: []dnsmessage.SVCBResource{svcRecord(0, "b.")}}.pack(1, "example.com"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		records, ttl, err := readHTTPSAnswer(msg, "example.com")
		if err != nil && records != nil {
			t.Fatal("records with an error")
		}
		if ttl < 0 {
			t.Fatalf("they hold for %v", ttl)
		}
		for _, r := range records {
			if !isHostName(r.Target) {
				t.Fatalf("target %q", r.Target)
			}
			h3Addrs([]HTTPSRecord{r}, "443")
		}
		if len(msg) >= 2 {
			answers(msg, binary.BigEndian.Uint16(msg), dnsmessage.Question{Name: svcName("example.com."), Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET})
		}
	})
}

func parseAddrs(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}
