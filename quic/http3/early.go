package http3

import (
	"net/http"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// EarlyPolicy is what a server does with a request whose method is not safe and that came as early data (RFC 8470, section 3).
type EarlyPolicy uint8

// What a server can do with such a request.
const (
	EarlyReject EarlyPolicy = iota // answer 425 (Too Early)
	EarlyWait                      // serve it when the handshake is complete
	EarlyServe                     // serve it at once: the handler looks after itself
)

// exchangeOf returns the exchange of a request that a Server of this package serves, nil if r is no such request.
func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

// EarlyData tells whether a request came as early data (0-RTT) and was not kept until the handshake was complete: it may be a recording
// that somebody has sent again (RFC 8470, section 5.1). A handler that would change something answers 425 (http.StatusTooEarly), or
// calls the Handshake method of what QUICConn returns first, which waits until the client has shown that it is there. The request's TLS
// tells the state in which it came: HandshakeComplete is false.
//
// A request whose field Early-Data is "1" came as early data to a proxy on the way (RFC 8470, section 5.1). That is for the handler to see to, who
// answers 425 too if it does not want to take the risk: the proxy's client asks again then.
func EarlyData(r *http.Request) bool {
	x := exchangeOf(r)
	return x != nil && x.early && !x.wait
}

// Protocol returns the protocol that an extended CONNECT asks for (RFC 9220), such as "websocket"; empty for all other requests. A response
// with a status of 2xx accepts it; then Body and ResponseWriter are its two directions, or TakeOver's Stream is.
func Protocol(r *http.Request) string {
	if x := exchangeOf(r); x != nil && x.tunnel != nil {
		return x.tunnel.protocol
	}
	return ""
}

// QUICConn returns the connection that a request came over, nil if it did not come over HTTP/3. It tells of the connection (Stats, Paths,
// ConnectionState); its streams belong to HTTP/3.
func QUICConn(r *http.Request) *quicnet.Conn {
	if x := exchangeOf(r); x != nil {
		return x.sc.conn
	}
	return nil
}
