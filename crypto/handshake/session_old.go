//go:build !go1.26

package handshake

import "crypto/tls"

func setHelloRetryRequest(*tls.ConnectionState, bool) {}
