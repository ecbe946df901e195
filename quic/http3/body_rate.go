package http3

import (
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// ratedBody is the Body of a request whose client must keep to Server.MinBodyRate. It has no WriteTo: io.Copy reads it piece by piece.
type ratedBody struct {
	body *requestBody
	rate int           // bytes a second
	left time.Duration // for which handlers may still wait for the client
	err  error         // once it was too slow
}

// bodyPatience is how long handlers may wait for a body, beyond the time that its bytes give.
const bodyPatience = 10 * time.Second

// limitRate has a body come at the rate that the server demands. A tunnel has no body (RFC 9114, section 4.4).
func (sc *serverConn) limitRate(x *exchange) {
	if rate := sc.srv.s.MinBodyRate; rate > 0 && x.req.Method != "CONNECT" && x.req.Body == &x.body {
		x.req.Body = &ratedBody{body: &x.body, rate: rate, left: bodyPatience}
	}
}

// Read implements io.Reader. Time in which nobody reads is not the client's, so that only that of waiting counts, and no more than bodyPatience is ever saved.
func (b *ratedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	s, err := b.body.open()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if !b.body.x.limitRead(s, begun.Add(b.left)) {
		return b.body.Read(p)
	}
	n, err := b.body.Read(p)
	earned := time.Duration(min(n, 1<<30)) * time.Second / time.Duration(b.rate)
	if b.left = min(b.left-time.Since(begun)+earned, bodyPatience); b.left <= 0 && n == 0 {
		b.err = err
	}
	return n, err
}

// Close implements io.Closer.
func (b *ratedBody) Close() error { return b.body.Close() }

// limitRead has a Read that waits end at a time, or sooner if the request has an earlier deadline; false: the handler has set its own.
func (x *exchange) limitRead(s *quicnet.Stream, by time.Time) (limited bool) {
	x.sc.conn.Do(func(t *quicnet.Turn) {
		if limited = !x.has(markDeadline); !limited {
			return
		}
		if x.readBy != 0 {
			if at := x.sc.time(x.readBy); at.Before(by) {
				by = at
			}
		}
		t.SetReadDeadline(s, by)
	})
	return limited
}
