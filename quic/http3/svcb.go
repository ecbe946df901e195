package http3

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// An HTTPSRecord is a DNS record of type HTTPS (RFC 9460), as far as it matters to a client that looks for HTTP/3.
type HTTPSRecord struct {
	// Priority is the record's SvcPriority: lower is preferred. 0 stands for AliasMode, in which the record says only that the records
	// of Target hold.
	Priority uint16

	// Target is the host that serves, or the alias, without a dot at the end: where the record has ".", in ServiceMode the name that it
	// belongs to; in AliasMode empty, which says that there is no service.
	Target string

	// ALPN are the protocols that are spoken there: the parameter "alpn" and, without "no-default-alpn", http/1.1.
	ALPN []string

	// Port is where, for UDP and TCP. 0: at the port of the origin.
	Port uint16

	// Hints are addresses of Target ("ipv4hint", "ipv6hint"), as the record gives them.
	Hints []netip.Addr
}

// An HTTPSResolver finds the HTTPS records of a name.
type HTTPSResolver interface {
	// LookupHTTPS returns the records of a name without a dot at the end, and how long they hold: also that there are none is known for a
	// time. It follows CNAMEs, but not AliasMode. Records that RFC 9460 tells clients to ignore, such as those with a mandatory parameter that
	// the resolver does not know, are left out; for a set of which one record is malformed it returns an error (section 2.2). It
	// must return when ctx is done.
	LookupHTTPS(ctx context.Context, name string) (records []HTTPSRecord, ttl time.Duration, err error)
}

// Keys of service parameters, RFC 9460, section 14.3.2.
const (
	svcMandatory     = 0
	svcALPN          = 1
	svcNoDefaultALPN = 2
	svcPort          = 3
	svcIPv4Hint      = 4
	svcIPv6Hint      = 6
)

var errMalformedHTTPS = errors.New("http3: malformed HTTPS record (RFC 9460, section 2.2)")

// readHTTPSRecord reads what an HTTPS record of the name owner says. usable is false for one that a client ignores. An error says that
// it is malformed. Encrypted ClientHello (key 5) is not done here, so that it is as a key that is not known.
func readHTTPSRecord(r *dnsmessage.SVCBResource, owner string) (rec HTTPSRecord, usable bool, err error) {
	rec.Priority = r.Priority
	rec.Target = strings.TrimSuffix(r.Target.String(), ".")
	if rec.Priority == 0 { // whose parameters are ignored (section 2.4.2)
		return rec, isHostName(rec.Target), nil
	}
	if rec.Target == "" {
		rec.Target = owner // section 2.5.2
	}
	usable = isHostName(rec.Target)
	noDefault, hasALPN := false, false
	for i, p := range r.Params {
		if i > 0 && p.Key <= r.Params[i-1].Key {
			return rec, false, fmt.Errorf("%w: keys out of order", errMalformedHTTPS)
		}
		ok := true
		switch p.Key {
		case svcMandatory:
			var known bool
			known, ok = readMandatory(r, p.Value)
			usable = usable && known
		case svcALPN:
			rec.ALPN, ok = readALPN(p.Value)
			hasALPN = true
		case svcNoDefaultALPN:
			noDefault, ok = true, len(p.Value) == 0
		case svcPort:
			if ok = len(p.Value) == 2; ok {
				rec.Port = binary.BigEndian.Uint16(p.Value)
				usable = usable && rec.Port != 0
			}
		case svcIPv4Hint:
			rec.Hints, ok = readHints(rec.Hints, p.Value, 4)
		case svcIPv6Hint:
			rec.Hints, ok = readHints(rec.Hints, p.Value, 16)
		}
		if !ok {
			return rec, false, fmt.Errorf("%w: bad value of key %d", errMalformedHTTPS, p.Key)
		}
	}
	if !noDefault {
		rec.ALPN = append(rec.ALPN, "http/1.1") // the default set of "https", section 9.5
	} else if !hasALPN {
		usable = false // not self-consistent, section 7.1.1
	}
	return rec, usable, nil
}

// readMandatory reads the list of keys that a client must know to use the record (section 8).
func readMandatory(r *dnsmessage.SVCBResource, v []byte) (known, ok bool) {
	if len(v) == 0 || len(v)%2 != 0 {
		return false, false
	}
	known = true
	last := -1
	for ; len(v) > 0; v = v[2:] {
		key := binary.BigEndian.Uint16(v)
		if _, there := r.GetParam(dnsmessage.SVCParamKey(key)); !there || key == svcMandatory || int(key) <= last {
			return false, false
		}
		last = int(key)
		switch key {
		case svcALPN, svcNoDefaultALPN, svcPort, svcIPv4Hint, svcIPv6Hint:
		default:
			known = false
		}
	}
	return known, true
}

// readALPN reads a list of protocol names, each after a byte with its length (section 7.1.1).
func readALPN(v []byte) (names []string, ok bool) {
	for len(v) > 0 {
		n := int(v[0])
		if n == 0 || n >= len(v) {
			return nil, false
		}
		names = append(names, string(v[1:1+n]))
		v = v[1+n:]
	}
	return names, len(names) > 0
}

// readHints reads a list of addresses of size bytes each (section 7.3).
func readHints(to []netip.Addr, v []byte, size int) ([]netip.Addr, bool) {
	if len(v) == 0 || len(v)%size != 0 {
		return nil, false
	}
	for ; len(v) > 0; v = v[size:] {
		if a, _ := netip.AddrFromSlice(v[:size]); !a.IsUnspecified() && !a.IsMulticast() {
			to = append(to, a)
		}
	}
	return to, true
}
