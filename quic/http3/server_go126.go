//go:build !go1.27

package http3

import "net/http"

// maxHeaderValues returns http.Server.MaxHeaderValueCount, which Go has from 1.27 on.
func maxHeaderValues(*http.Server) int { return 0 }
