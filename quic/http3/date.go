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

// currentDate returns the value of a Date field (RFC 9110, section 6.6.1).
func currentDate() string {
	now := time.Now()
	second := now.Unix()
	d := lastDate.Load()
	if d == nil || d.second != second {
		d = &dateText{second, now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return d.text
}
