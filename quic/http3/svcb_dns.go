package http3

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	maxNameServers  = 3               // of the system's that are asked, one after the other
	nameServerWait  = time.Second     // for the answer of one
	maxCNAMEs       = 8               // that are followed in an answer
	maxDNSAnswers   = 256             // records of an answer that are looked at
	ednsSize        = 1232            // bytes that we take in a datagram
	negativeTTL     = 5 * time.Minute // for which it is known that there are no records, where the answer does not say
	resolvConfBytes = 64 << 10        // of the list of name servers that are read
)

// dnsResolver is the HTTPSResolver that asks name servers, over UDP and where an answer is too long for that over TCP.
type dnsResolver struct {
	servers func() []string // their addresses, "host:port"
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// systemResolver asks the name servers that the system uses, as /etc/resolv.conf lists them. Where there is no such file, as on
// Windows, it finds no records.
func systemResolver() *dnsResolver {
	var d net.Dialer
	return &dnsResolver{servers: systemNameServers, dial: d.DialContext}
}

func systemNameServers() []string {
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	defer f.Close()
	return nameServers(io.LimitReader(f, resolvConfBytes))
}

// nameServers reads the "nameserver" lines of a resolv.conf.
func nameServers(r io.Reader) (out []string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() && len(out) < maxNameServers {
		words := strings.Fields(lines.Text())
		if len(words) >= 2 && words[0] == "nameserver" {
			out = append(out, net.JoinHostPort(words[1], "53"))
		}
	}
	return out
}

// LookupHTTPS implements HTTPSResolver.
func (d *dnsResolver) LookupHTTPS(ctx context.Context, name string) (records []HTTPSRecord, ttl time.Duration, err error) {
	servers := d.servers()
	if len(servers) == 0 {
		return nil, negativeTTL, nil
	}
	id := uint16(rand.Uint32())
	query, question, err := httpsQuery(id, name)
	if err != nil {
		return nil, 0, err
	}
	for _, server := range servers {
		var msg []byte
		if msg, err = d.exchange(ctx, server, query, question); err == nil {
			records, ttl, err = readHTTPSAnswer(msg, name)
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, errMalformedHTTPS) {
			break
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("http3: HTTPS records of %s: %w", name, err)
	}
	return records, ttl, nil
}

// httpsQuery makes the question for the HTTPS records of a name.
func httpsQuery(id uint16, name string) ([]byte, dnsmessage.Question, error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, dnsmessage.Question{}, fmt.Errorf("http3: %q cannot be a name in the DNS: %w", name, err)
	}
	q := dnsmessage.Question{Name: n, Type: dnsmessage.TypeHTTPS, Class: dnsmessage.ClassINET}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(ednsSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, q, err
	}
	if err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAdditionals(), b.OPTResource(opt, dnsmessage.OPTResource{})); err != nil {
		return nil, q, fmt.Errorf("http3: %q cannot be asked for in the DNS: %w", name, err)
	}
	msg, err := b.Finish()
	return msg, q, err
}

// exchange asks one server, and returns its answer.
func (d *dnsResolver) exchange(ctx context.Context, server string, query []byte, q dnsmessage.Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, nameServerWait)
	defer cancel()
	msg, truncated, err := d.ask(ctx, "udp", server, query, q)
	if err == nil && truncated {
		msg, _, err = d.ask(ctx, "tcp", server, query, q)
	}
	return msg, err
}

// ask sends the question over network and reads the answer. truncated: it was too long for UDP.
func (d *dnsResolver) ask(ctx context.Context, network, server string, query []byte, q dnsmessage.Question) (msg []byte, truncated bool, err error) {
	c, err := d.dial(ctx, network, server)
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	id := binary.BigEndian.Uint16(query)
	if network == "tcp" {
		msg, err = askStream(c, query, id, q)
		return msg, false, err
	}
	if _, err := c.Write(query); err != nil {
		return nil, false, err
	}
	buf := make([]byte, 4096)
	for { // What does not fit the question may be somebody's guess: the answer can still come.
		n, err := c.Read(buf)
		if err != nil {
			return nil, false, err
		}
		if ok, truncated := answers(buf[:n], id, q); ok {
			return buf[:n], truncated, nil
		}
	}
}

// askStream is ask over TCP, where each message comes after its length (RFC 1035, section 4.2.2).
func askStream(c net.Conn, query []byte, id uint16, q dnsmessage.Question) ([]byte, error) {
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(c, msg); err != nil {
		return nil, err
	}
	if ok, _ := answers(msg, id, q); !ok {
		return nil, errors.New("the name server answered something else than it was asked")
	}
	return msg, nil
}

// answers tells whether msg is the answer to a question, and whether it was cut short.
func answers(msg []byte, id uint16, q dnsmessage.Question) (ok, truncated bool) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response || h.ID != id {
		return false, false
	}
	got, err := p.Question()
	if err != nil || got.Type != q.Type || got.Class != q.Class || !sameName(got.Name, q.Name) {
		return false, false
	}
	return true, h.Truncated
}

func sameName(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }

// readHTTPSAnswer reads the records of a name from an answer, following CNAMEs.
func readHTTPSAnswer(msg []byte, name string) (records []HTTPSRecord, ttl time.Duration, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return nil, 0, err
	}
	if h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError {
		return nil, 0, fmt.Errorf("the name server answered %v", h.RCode)
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, 0, err
	}
	var a httpsAnswers
	if err := a.read(&p); err != nil {
		return nil, 0, err
	}
	owner, ttl := a.canonical(name)
	for i := range a.records {
		r := &a.records[i]
		if !strings.EqualFold(r.owner, owner) {
			continue
		}
		rec, usable, err := readHTTPSRecord(&r.SVCBResource, owner)
		if err != nil {
			return nil, 0, err
		}
		ttl = min(ttl, r.ttl)
		if usable {
			records = append(records, rec)
		}
	}
	if len(records) == 0 {
		ttl = min(ttl, negativeOf(&p))
	}
	return records, ttl, nil
}

// httpsAnswers is what an answer holds.
type httpsAnswers struct {
	records []ownedRecord
	cnames  []cname
}

type ownedRecord struct {
	owner string // without a dot at the end
	ttl   time.Duration
	dnsmessage.SVCBResource
}

type cname struct {
	owner, target string
	ttl           time.Duration
}

func (a *httpsAnswers) read(p *dnsmessage.Parser) error {
	for range maxDNSAnswers {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return nil
		}
		if err != nil {
			return err
		}
		owner, ttl := strings.TrimSuffix(h.Name.String(), "."), time.Duration(h.TTL)*time.Second
		switch {
		case h.Class != dnsmessage.ClassINET:
			err = p.SkipAnswer()
		case h.Type == dnsmessage.TypeHTTPS:
			var r dnsmessage.HTTPSResource
			if r, err = p.HTTPSResource(); err != nil {
				err = fmt.Errorf("%w: %w", errMalformedHTTPS, err)
			}
			a.records = append(a.records, ownedRecord{owner, ttl, r.SVCBResource})
		case h.Type == dnsmessage.TypeCNAME:
			var r dnsmessage.CNAMEResource
			r, err = p.CNAMEResource()
			a.cnames = append(a.cnames, cname{owner, strings.TrimSuffix(r.CNAME.String(), "."), ttl})
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return err
		}
	}
	return errors.New("the answer of the name server has too many records")
}

// canonical follows the CNAMEs of a name, and tells how long that holds.
func (a *httpsAnswers) canonical(name string) (string, time.Duration) {
	ttl := maxHTTPSTTL
	for range maxCNAMEs {
		next := ""
		for _, c := range a.cnames {
			if strings.EqualFold(c.owner, name) {
				next, ttl = c.target, min(ttl, c.ttl)
				break
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	return name, ttl
}

// negativeOf is how long it is known that there are no records (RFC 2308, section 5). p stands at the end of the answers.
func negativeOf(p *dnsmessage.Parser) time.Duration {
	for range maxDNSAnswers {
		h, err := p.AuthorityHeader()
		if err != nil {
			break
		}
		if h.Type == dnsmessage.TypeSOA {
			soa, err := p.SOAResource()
			if err != nil {
				break
			}
			return time.Duration(min(h.TTL, soa.MinTTL)) * time.Second
		}
		if p.SkipAuthority() != nil {
			break
		}
	}
	return negativeTTL
}
