package http3

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	lookupPatience = 50 * time.Millisecond // that a request waits for HTTPS records: RFC 8305's resolution delay
	lookupTimeout  = 5 * time.Second
	maxAliases     = 8 // that are followed (RFC 9460, section 3, wants a bound)
	maxRecordAddrs = 8 // of an origin
	minHTTPSTTL    = 10 * time.Second
	maxHTTPSTTL    = 24 * time.Hour
	failedTTL      = time.Minute // after which records that could not be had are asked for again
)

// httpsLookup is a search for an origin's HTTPS records that is under way.
type httpsLookup struct {
	began time.Time
	done  chan struct{}
}

// choose returns the way to an origin over HTTP/3, or nil if there is none, or none that works. Of an origin that is new it waits a little
// for what the DNS says.
func (t *AutoTransport) choose(ctx context.Context, o *autoOrigin) *route {
	now := time.Now()
	t.mu.Lock()
	if on := o.cooldown.network; o.cooldown.active(now) {
		t.mu.Unlock()
		if t.network.now(now) == on {
			return nil
		}
		t.NetworkChanged()
		t.mu.Lock()
	}
	if o.cooldown.active(now) {
		t.mu.Unlock()
		return nil
	}
	r := t.route(o, now)
	var l *httpsLookup
	if r == nil {
		l = t.lookup(o, now)
	}
	t.mu.Unlock()
	if l == nil {
		return r
	}
	timer := time.NewTimer(l.began.Add(lookupPatience).Sub(now))
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return nil // TCP says so
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.route(o, time.Now())
}

// lookup has an origin's records be looked up, if they are not known. t.mu is held.
func (t *AutoTransport) lookup(o *autoOrigin, now time.Time) *httpsLookup {
	if t.DisableHTTPSRecords || o.asking != nil || now.Before(o.recordsUntil) || !inDNS(o.host) {
		return o.asking
	}
	l := &httpsLookup{began: now, done: make(chan struct{})}
	o.asking = l
	go t.look(o, l)
	return l
}

// inDNS tells whether a host is one that public DNS servers can know: no address, no name of the machine or its network (RFC 6761, 6762).
func inDNS(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return false
	}
	for _, private := range []string{".localhost", ".local", ".onion", ".invalid"} {
		if strings.HasSuffix(host, private) {
			return false
		}
	}
	return true
}

func (t *AutoTransport) look(o *autoOrigin, l *httpsLookup) {
	resolver := t.Resolver
	if resolver == nil {
		resolver = systemResolver()
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, ttl, err := resolveHTTPS(ctx, resolver, o.host, o.port)
	if err != nil {
		addrs, ttl = nil, failedTTL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o.records, o.recordsUntil = addrs, time.Now().Add(min(max(ttl, minHTTPSTTL), maxHTTPSTTL))
	o.asking, o.routes = nil, nil
	close(l.done)
}

// resolveHTTPS returns where HTTPS records say that an origin has HTTP/3, "host:port" each, the preferred one first.
func resolveHTTPS(ctx context.Context, resolver HTTPSResolver, host, port string) (addrs []string, ttl time.Duration, err error) {
	name := host
	if port != "443" {
		name = "_" + port + "._https." + host // RFC 9460, section 9.1
	}
	ttl = maxHTTPSTTL
	for range maxAliases + 1 {
		records, holds, err := resolver.LookupHTTPS(ctx, strings.TrimSuffix(name, "."))
		if err != nil {
			return nil, 0, err
		}
		ttl = min(ttl, holds)
		// Where there is one in AliasMode, those in ServiceMode are ignored (section 2.4.1), and of several one is taken at random (section 2.4.2).
		var aliases []string
		for _, r := range records {
			if r.Priority == 0 {
				aliases = append(aliases, r.Target)
			}
		}
		if len(aliases) == 0 {
			return h3Addrs(records, port), ttl, nil
		}
		if name = aliases[rand.IntN(len(aliases))]; name == "" || name == "." {
			return nil, ttl, nil
		}
	}
	return nil, ttl, nil
}

// h3Addrs returns where records of ServiceMode have HTTP/3. Addresses that a record gives come before its target's name, which costs a
// look-up (section 7.3).
func h3Addrs(records []HTTPSRecord, port string) (addrs []string) {
	records = slices.Clone(records)
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] }) // of one priority (section 2.4.1)
	slices.SortStableFunc(records, func(a, b HTTPSRecord) int { return int(a.Priority) - int(b.Priority) })
	add := func(host, port string) {
		if a := net.JoinHostPort(host, port); len(addrs) < maxRecordAddrs && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	for _, r := range records {
		if !slices.Contains(r.ALPN, alpn) {
			continue
		}
		at := port
		if r.Port != 0 {
			at = strconv.Itoa(int(r.Port))
		}
		for _, hint := range r.Hints {
			add(hint.String(), at)
		}
		add(r.Target, at)
	}
	return addrs
}
