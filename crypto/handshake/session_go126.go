//go:build go1.26

package handshake

import "crypto/tls"

// setHelloRetryRequest tells in s that the handshake needed a HelloRetryRequest, where crypto/tls has a field for that.
func setHelloRetryRequest(s *tls.ConnectionState, needed bool) { s.HelloRetryRequest = needed }
