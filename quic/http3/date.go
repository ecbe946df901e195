package http3

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dateText is the value of a Date field, good for a second.
type dateText struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateText]

// dateOf returns the value of a Date field (RFC 9110, section 6.6.1).
func dateOf(now time.Time) string {
	second := now.Unix()
	d := lastDate.Load()
	if d == nil || d.second != second {
		d = &dateText{second, now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return d.text
}
