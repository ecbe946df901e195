package qpack

// fieldName is a field's name in both of its forms.
type fieldName struct{ wire, canonical string }

var (
	// unclassified is the Classifier of decoders that were given none.
	unclassified *Classifier

	// knownNames are names that need no allocation when they come as literals.
	knownNames = make(map[string]fieldName)
)

// moreNames are names that today's browsers, programs and servers send, beyond those of the static table.
var moreNames = []string{
	"accept-charset", "accept-ch", "allow", "cdn-cache-control", "cf-cache-status", "cf-ray", "connection", "content-digest",
	"content-language", "content-location", "content-md5", "content-range", "cross-origin-embedder-policy",
	"cross-origin-opener-policy", "cross-origin-resource-policy", "date", "digest", "dnt", "expect", "expires", "from", "grpc-encoding",
	"grpc-accept-encoding", "grpc-message", "grpc-status", "grpc-timeout", "host", "if-match", "if-unmodified-since", "keep-alive",
	"last-event-id", "max-forwards", "nel", "origin-agent-cluster", "permissions-policy", "pragma", "priority", "proxy-authenticate",
	"proxy-authorization", "proxy-status", "referrer-policy", "report-to", "reporting-endpoints", "retry-after", "sec-ch-ua",
	"sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "sec-gpc",
	"sec-purpose", "sec-websocket-extensions", "sec-websocket-key", "sec-websocket-protocol", "sec-websocket-version", "server-timing",
	"sourcemap", "te", "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "via", "want-content-digest", "warning",
	"www-authenticate", "x-cache", "x-correlation-id", "x-csrf-token", "x-forwarded-host", "x-forwarded-proto", "x-powered-by",
	"x-real-ip", "x-request-id", "x-requested-with", "x-robots-tag", "x-ua-compatible", ":protocol",
}

func init() {
	for _, e := range staticTable {
		know(e.name)
	}
	for _, n := range moreNames {
		know(n)
	}
	unclassified = NewClassifier(func(string, string) uint8 { return 0 })
}

func know(wire string) {
	if _, ok := knownNames[wire]; !ok {
		knownNames[wire] = newFieldName(wire)
	}
}

// newFieldName returns the name in both forms; a canonical form that differs is allocated.
func newFieldName(wire string) fieldName {
	var short [64]byte
	if c := appendCanonical(short[:0], wire); string(c) != wire {
		return fieldName{wire, string(c)}
	}
	return fieldName{wire, wire}
}

// appendCanonical appends name in net/http's canonical form: the first letter and those after a hyphen in upper case, the others in
// lower case; a name that has a byte that no name of HTTP may have stays what it is.
func appendCanonical[T string | []byte](b []byte, name T) []byte {
	for i := range len(name) {
		if !isToken(name[i]) {
			return append(b, name...)
		}
	}
	upper := true
	for i := range len(name) {
		c := name[i]
		switch {
		case upper && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case !upper && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		b = append(b, c)
		upper = c == '-'
	}
	return b
}

// isToken tells whether c may stand in a token (RFC 9110, section 5.6.2).
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}
