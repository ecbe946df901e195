package http3

import (
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/boringquic/boringquic/quic/qpack"
)

// Fields of HTTP/3 have lower-case names (RFC 9114, section 4.2), those of an http.Header canonical ones. For the usual names neither way
// allocates.

// lowerNames are the usual names, by their canonical form.
var lowerNames = func() map[string]string {
	m := make(map[string]string)
	for _, name := range strings.Fields(`
		accept accept-charset accept-encoding accept-language accept-post accept-ranges access-control-allow-credentials
		access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
		access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc alt-used authorization
		cache-control capsule-protocol clear-site-data content-disposition content-encoding content-language content-length
		content-location content-range content-security-policy content-type cookie cross-origin-embedder-policy
		cross-origin-opener-policy cross-origin-resource-policy date dnt early-data etag expect expect-ct expires forwarded from
		grpc-accept-encoding grpc-encoding grpc-message grpc-status grpc-timeout host idempotency-key if-match if-modified-since
		if-none-match if-range if-unmodified-since keep-alive last-modified link location max-forwards nel origin permissions-policy
		pragma priority proxy-authenticate proxy-authorization proxy-status purpose range referer referrer-policy report-to retry-after
		sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc
		sec-websocket-accept sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version server server-timing
		set-cookie strict-transport-security te timing-allow-origin trailer traceparent tracestate transfer-encoding upgrade
		upgrade-insecure-requests user-agent vary via warning www-authenticate x-content-type-options x-forwarded-for x-forwarded-host
		x-forwarded-proto x-frame-options x-idempotency-key x-powered-by x-real-ip x-request-id x-requested-with x-xss-protection`) {
		m[textproto.CanonicalMIMEHeaderKey(name)] = name
	}
	return m
}()

// wireName returns a field's name as it is on the wire; ok is false if it is not a name of HTTP's (RFC 9110, section 5.1).
func wireName(name string) (lower string, ok bool) {
	if lower, ok := lowerNames[name]; ok {
		return lower, true
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return "", false
	}
	return strings.ToLower(name), true
}

// connectionSpecific tells whether a field, by its name on the wire, is of a connection of HTTP/1.1 and must not be in a message of HTTP/3
// (RFC 9114, section 4.2). TE is one as well, but for "trailers" in the header of a request.
func connectionSpecific(name string) bool {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// sensitive tells whether a field's values are kept out of tables, whose size could tell somebody who guesses them (RFC 9204, section 7.1).
func sensitive(name string) bool { return name == "authorization" || name == "proxy-authorization" }

// appendField appends a field's values, each as a field; those that must not be sent (RFC 9110, section 5.5) are left out, as net/http does
// over HTTP/2, and blanks around a value are none of it. name is that on the wire.
func appendField(dst []qpack.Field, name string, values []string) []qpack.Field {
	for _, v := range values {
		if httpguts.ValidHeaderFieldValue(v) {
			dst = append(dst, qpack.Field{Name: name, Value: strings.Trim(v, " \t"), Sensitive: sensitive(name)})
		}
	}
	return dst
}

// makeHeader makes an http.Header of fields that were decoded. Their values share one slice, in which no value can be appended to another's.
func makeHeader(fields []qpack.Field) http.Header {
	h := make(http.Header, len(fields))
	values := make([]string, len(fields))
	for i := range fields {
		n := len(h)
		values[i] = fields[i].Value
		h[fields[i].Canonical] = values[i : i+1 : i+1]
		if len(h) == n { // there was one of the name before
			clear(h)
			addAll(h, fields, values)
			return h
		}
	}
	return h
}

// addAll is makeHeader for fields of which some have the same name: however many these are, each costs the same.
func addAll(h http.Header, fields []qpack.Field, values []string) {
	for i := range fields {
		name := fields[i].Canonical
		if before, ok := h[name]; ok {
			h[name] = append(before, fields[i].Value)
			continue
		}
		values[i] = fields[i].Value
		h[name] = values[i : i+1 : i+1]
	}
}
