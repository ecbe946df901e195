package h3

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// ORIGIN frames (RFC 9412): the origins that a server answers for on the connection.

// appendOrigins appends an ORIGIN frame.
func appendOrigins(b []byte, origins []string) []byte {
	size := 0
	for _, o := range origins {
		size += 2 + len(o)
	}
	b = appendFrameHeader(b, frameOrigin, uint64(size))
	for _, o := range origins {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(o))), o...)
	}
	return b
}

// onOrigin acts on an ORIGIN frame: entries that are no origins are left out (RFC 8336, section 2.3).
func (c *Conn) onOrigin(p []byte) *connError {
	var origins []string
	for len(p) > 0 {
		if len(p) < 2 || len(p)-2 < int(binary.BigEndian.Uint16(p)) {
			return connErr(ErrCodeFrame, "an ORIGIN frame that ends within an origin")
		}
		n := int(binary.BigEndian.Uint16(p))
		if o := string(p[2 : 2+n]); isOrigin(o) {
			origins = append(origins, o)
		}
		p = p[2+n:]
	}
	c.push(Event{Kind: EventOrigin, Origins: origins})
	return nil
}

// isOrigin tells whether s is the ASCII serialisation of an origin with a host (RFC 6454, section 6.2): a scheme, a host in lower case, and
// perhaps a port, the scheme's own too.
func isOrigin(s string) bool {
	scheme, host, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
		return false
	}
	end := strings.LastIndexByte(host, ':')
	if strings.HasPrefix(host, "[") {
		end = strings.IndexByte(host, ']') + 1
	}
	if end >= 0 && end < len(host) {
		port, ok := strings.CutPrefix(host[end:], ":")
		if n, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || n == 0 {
			return false
		}
		host = host[:end]
	}
	if address, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(address, "]"))
		return err == nil && a.Is6() && a.Zone() == "" && strings.HasSuffix(address, "]")
	}
	return host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%") == ""
}
