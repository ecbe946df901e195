//go:build go1.27

package http3

import "net/http"

// maxHeaderValues returns how many fields a header may have.
func maxHeaderValues(s *http.Server) int {
	if s.MaxHeaderValueCount > 0 {
		return s.MaxHeaderValueCount
	}
	return http.DefaultMaxHeaderValueCount
}
