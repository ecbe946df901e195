package http3

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	maxAltSvcBytes  = 8 << 10         // of the Alt-Svc field of a response that are looked at; a longer one is ignored
	maxAlternatives = 8               // that are kept of an origin
	maxAltSvcAge    = 365 * 24 * 3600 // seconds that an alternative is kept at most, whatever its "ma" says
	defaultAltAge   = 24 * 3600       // seconds; RFC 7838, section 3.1
)

// An Alternative is another way to an origin: HTTP/3 at an address that the origin has named in an Alt-Svc field (RFC 7838).
type Alternative struct {
	// Host is where the alternative is, a name or an IP address without brackets. Empty: the origin's own host. Wherever it is, it must
	// have a certificate for the origin's name.
	Host string

	// Port is its UDP port.
	Port uint16

	// Expires is when it must not be used any more.
	Expires time.Time

	// Persist says that it holds also after the network has changed (RFC 7838, section 3.1, "persist").
	Persist bool
}

// addr is where a connection to the alternative goes, "host:port".
func (a Alternative) addr(originHost string) string {
	host := a.Host
	if host == "" {
		host = originHost
	}
	return net.JoinHostPort(host, strconv.Itoa(int(a.Port)))
}

// altValue is one element of an Alt-Svc field.
type altValue struct {
	protocol string // ALPN name, decoded
	host     string // empty: the origin's
	port     uint16
	maxAge   int64 // seconds
	persist  bool
}

// alternatives returns what the Alt-Svc field of a response says of HTTP/3. told is false if the response says nothing that counts: then
// what was known before stays. Else the answer takes the place of all that was known of the origin; it may be empty.
func alternatives(h http.Header, now time.Time) (alts []Alternative, told bool) {
	values := h["Alt-Svc"]
	if len(values) == 0 {
		return nil, false
	}
	parsed, ok := parseAltSvc(strings.Join(values, ","))
	if !ok {
		return nil, false
	}
	age := ageOf(h)
	for _, v := range parsed {
		left := v.maxAge - age
		if v.protocol != alpn || left <= 0 || len(alts) == maxAlternatives {
			continue
		}
		alts = append(alts, Alternative{Host: v.host, Port: v.port, Expires: now.Add(time.Duration(left) * time.Second), Persist: v.persist})
	}
	return alts, true
}

// ageOf is how many seconds a response was kept in caches on its way, by which its alternatives are older (RFC 7838, section 3.1).
func ageOf(h http.Header) int64 {
	age, ok := consumeSeconds(h.Get("Age"))
	if !ok {
		return 0
	}
	return age
}

// consumeSeconds parses delta-seconds (RFC 9111, section 1.2.2): what is too large stands for the largest.
func consumeSeconds(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n <= maxAltSvcAge {
			n = n*10 + int64(s[i]-'0')
		}
	}
	return min(n, maxAltSvcAge), true
}

// parseAltSvc parses the value of an Alt-Svc field (RFC 7838, section 3), several lines of it joined by commas. The value "clear" is an
// empty list. Elements that are well formed but name a protocol or an authority that cannot be meant are left out. ok is false if
// the field does not have the form that the grammar asks for: then all of it is ignored.
func parseAltSvc(s string) (out []altValue, ok bool) {
	if len(s) > maxAltSvcBytes {
		return nil, false
	}
	if strings.Trim(s, " \t,") == "clear" { // case-sensitive, and alone
		return nil, true
	}
	p := altSvcParser{s}
	elements := 0
	for {
		p.skipWhite()
		if p.s == "" {
			return out, elements > 0
		}
		if p.take(',') { // an empty element (RFC 9110, section 5.6.1.2)
			continue
		}
		v, wellFormed, usable := p.element()
		if !wellFormed {
			return nil, false
		}
		elements++
		if usable {
			out = append(out, v)
		}
		p.skipWhite()
		if p.s != "" && !p.take(',') {
			return nil, false
		}
	}
}

// altSvcParser takes pieces off the front of what is left of the field.
type altSvcParser struct{ s string }

// element takes off an alt-value, with its parameters.
func (p *altSvcParser) element() (v altValue, wellFormed, usable bool) {
	id := p.token()
	if id == "" || !p.take('=') {
		return v, false, false
	}
	authority, ok := p.quoted()
	if !ok {
		return v, false, false
	}
	v.maxAge = defaultAltAge
	usable = true
	for {
		rest := p.s
		p.skipWhite()
		if !p.take(';') {
			p.s = rest
			break
		}
		p.skipWhite()
		name, value, ok := p.parameter()
		if !ok {
			return v, false, false
		}
		switch strings.ToLower(name) {
		case "ma":
			if v.maxAge, ok = consumeSeconds(value); !ok {
				usable = false
			}
		case "persist":
			v.persist = value == "1" // other values mean nothing
		}
	}
	if v.protocol, ok = decodeProtocol(id); !ok {
		usable = false
	}
	if v.host, v.port, ok = splitAuthority(authority); !ok {
		usable = false
	}
	return v, true, usable
}

func (p *altSvcParser) parameter() (name, value string, ok bool) {
	name = p.token()
	if name == "" || !p.take('=') {
		return "", "", false
	}
	if strings.HasPrefix(p.s, `"`) {
		value, ok = p.quoted()
		return name, value, ok
	}
	value = p.token()
	return name, value, value != ""
}

func (p *altSvcParser) skipWhite() { p.s = strings.TrimLeft(p.s, " \t") }

func (p *altSvcParser) take(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// token takes off a token (RFC 9110, section 5.6.2), which is empty if there is none.
func (p *altSvcParser) token() string {
	n := 0
	for n < len(p.s) && isTokenByte(p.s[n]) {
		n++
	}
	t := p.s[:n]
	p.s = p.s[n:]
	return t
}

// quoted takes off a quoted-string (RFC 9110, section 5.6.4) and returns what it stands for.
func (p *altSvcParser) quoted() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	var out []byte
	for i := 0; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.s = p.s[i+1:]
			return string(out), true
		case c == '\\':
			if i++; i == len(p.s) || !isQuotable(p.s[i]) {
				return "", false
			}
			out = append(out, p.s[i])
		case !isQuotable(c):
			return "", false
		default:
			out = append(out, c)
		}
	}
	return "", false
}

func isQuotable(c byte) bool { return c == '\t' || c >= ' ' && c != 0x7f }

func isTokenByte(c byte) bool {
	switch {
	case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// decodeProtocol decodes a protocol-id, an ALPN name in which other bytes than those of tokens are percent-encoded.
func decodeProtocol(id string) (string, bool) {
	if !strings.Contains(id, "%") {
		return id, true
	}
	var out []byte
	for i := 0; i < len(id); i++ {
		if id[i] != '%' {
			out = append(out, id[i])
			continue
		}
		if i+2 >= len(id) {
			return "", false
		}
		b, err := strconv.ParseUint(id[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		out = append(out, byte(b))
		i += 2
	}
	return string(out), true
}

// splitAuthority splits "[uri-host]:port".
func splitAuthority(s string) (host string, port uint16, ok bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, false
	}
	host = s[:colon]
	if strings.HasPrefix(host, "[") {
		a, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if err != nil || !strings.HasSuffix(host, "]") || !a.Is6() || a.Zone() != "" {
			return "", 0, false
		}
		return a.String(), uint16(n), true
	}
	return host, uint16(n), isHostName(host)
}

// isHostName tells whether s can be a name of a host, an IPv4 address or nothing.
func isHostName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return len(s) <= 253
}
