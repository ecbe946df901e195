package main

// #include "internal.h"
import "C"

import (
	"errors"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// conn is a bquic_conn: a connection of an endpoint, or of the event loop, with its HTTP/3 if it speaks that.
type conn struct {
	object
	endpoint *endpoint // nil: it is of the event loop
	net      *netConn  // nil: it is of an endpoint
	core     *quic.Conn
	settings *settings
	http     *h3.Conn // nil: it does not speak HTTP/3, or not yet
	userData uint64
	ssl      uintptr // of the program's; 0: there is none

	working  bool // it is in endpoint.work
	sent     bool // since it came there, Send had nothing more
	accepted bool // EVENT_ACCEPTED is to be told
	gone     bool // it was forgotten
	struck   bool // a panic has closed it

	outgoing outgoing    // by HTTP/3
	held     *found      // what there was no room for
	pending  *quic.Event // an event of the core that comes when HTTP/3 has told what it makes of it

	due time.Time // of endpoint.timers, where it is
	at  int       // below 0: nowhere
}

// touch has the next step look whether the connection has anything to tell or to send.
func (c *conn) touch() {
	c.sent = false
	if c.net == nil && !c.working && !c.gone {
		c.working = true
		c.endpoint.timers.remove(c)
		c.endpoint.work = append(c.endpoint.work, c)
	}
}

// use is on for a connection that f may make tell or send something.
func use(h C.uint64_t, f func(c *conn) error) C.int32_t {
	return C.int32_t(on(handle(h), kindConn, func(c *conn) error {
		if c.net != nil {
			return c.net.do(f)
		}
		c.touch()
		return f(c)
	}))
}

// look is on for a connection that f only looks at.
func look(h C.uint64_t, f func(c *conn) error) C.int32_t {
	return C.int32_t(on(handle(h), kindConn, func(c *conn) error {
		if c.net != nil {
			return c.net.do(f)
		}
		return f(c)
	}))
}

func (c *conn) onTimeout() {
	c.core.OnTimeout(c.endpoint.now)
	if c.http != nil {
		if at := c.http.Timeout(); !at.IsZero() && !at.After(c.endpoint.now) {
			c.http.OnTimeout(c.endpoint.now)
		}
	}
}

// deadline is when onTimeout is wanted, the zero Time if never.
func (c *conn) deadline() (at time.Time) {
	at, _ = c.core.Timeout()
	if c.http != nil {
		if t := c.http.Timeout(); !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// time is now, by the clock of who steps the endpoint.
func (c *conn) time() time.Time {
	if c.endpoint == nil {
		return moment(0)
	}
	return c.endpoint.time()
}

// giveUp closes the connection after a panic in it. If there is a second one, it is forgotten.
func (c *conn) giveUp(err error) {
	if c.struck && c.net == nil {
		c.endpoint.forget(c)
		return
	}
	c.struck = true
	c.touch()
	c.core.Fail(c.time(), err)
}

//export bq_go_conn_close
func bq_go_conn_close(h C.uint64_t, transport C.int, code C.uint64_t, reason *C.uint8_t, n C.size_t) C.int32_t {
	if code > quic.MaxErrorCode {
		return C.int32_t(fail(faultf(errArgument, "the error code is %d, and must be below 2^62", uint64(code))))
	}
	if c := netConnOf(h); c != nil && transport == 0 {
		return C.int32_t(call(func() error { return c.close(uint64(code), string(memory(reason, n))) }))
	}
	return use(h, func(c *conn) error {
		c.core.Close(c.time(), transport == 0, uint64(code), string(memory(reason, n)))
		return nil
	})
}

//export bq_go_conn_free
func bq_go_conn_free(h C.uint64_t) C.int32_t {
	if c := netConnOf(h); c != nil {
		return C.int32_t(call(func() error { return freeConn(handle(h)) }))
	}
	return look(h, func(c *conn) error {
		c.endpoint.forget(c)
		return nil
	})
}

//export bq_go_conn_set_user_data
func bq_go_conn_set_user_data(h, value C.uint64_t) C.int32_t {
	set := func(c *conn) error {
		c.userData = uint64(value)
		return nil
	}
	if c := netConnOf(h); c != nil { // also while it is being made
		return C.int32_t(call(func() error { return c.within(set) }))
	}
	return look(h, set)
}

//export bq_go_conn_info
func bq_go_conn_info(h C.uint64_t, s *C.bquic_conn_state) C.int32_t {
	return look(h, func(c *conn) error {
		tls, stats := c.core.TLS(), c.core.Stats()
		*s = C.bquic_conn_state{
			version: C.uint32_t(c.core.Version()), early_data: C.uint32_t(c.core.EarlyData()), streams_bidi: clamp(c.core.StreamsOpenable(false)),
			streams_uni: clamp(c.core.StreamsOpenable(true)), max_datagram: clamp(c.core.MaxDatagramSize()), max_udp_payload: clamp(stats.MaxUDPPayload),
			cipher_suite: C.uint16_t(tls.CipherSuite), user_data: C.uint64_t(c.userData),
		}
		if c.http != nil {
			s.streams_bidi = clamp(c.http.RequestsOpenable())
		}
		s.alpn_len = C.uint16_t(copy(unsafe.Slice((*byte)(&s.alpn[0]), len(s.alpn)-1), tls.NegotiatedProtocol))
		setText(s.server_name[:], tls.ServerName)
		setAddr(&s.local, c.localAddr())
		setAddr(&s.remote, c.core.RemoteAddr())
		for _, f := range []struct {
			is  bool
			bit C.uint32_t
		}{
			{c.core.IsClient(), C.BQUIC_CONN_CLIENT}, {c.core.IsEstablished(), C.BQUIC_CONN_HANDSHAKE_COMPLETE},
			{c.core.HandshakeConfirmed(), C.BQUIC_CONN_CONFIRMED}, {stats.Resumed, C.BQUIC_CONN_RESUMED},
			{c.core.AddressValidated(), C.BQUIC_CONN_ADDRESS_VALIDATED}, {c.core.IsClosed(), C.BQUIC_CONN_CLOSED},
			{c.core.KeepsReceived(), C.BQUIC_CONN_KEEPS_RECEIVED},
		} {
			if f.is {
				s.flags |= f.bit
			}
		}
		return nil
	})
}

// localAddr returns our address, as far as it is known.
func (c *conn) localAddr() addr {
	if c.net != nil {
		return c.net.turn.LocalAddr()
	}
	return c.core.LocalAddr()
}

// clamp is n as C's number.
func clamp(n int) C.uint32_t { return C.uint32_t(min(n, 1<<31-1)) }

//export bq_go_conn_ssl
func bq_go_conn_ssl(h C.uint64_t, ssl *C.uintptr_t) C.int32_t {
	return look(h, func(c *conn) error {
		*ssl = C.uintptr_t(c.ssl)
		return nil
	})
}

//export bq_go_conn_error
func bq_go_conn_error(h C.uint64_t, end *C.bquic_conn_end) C.int32_t {
	if c := netConnOf(h); c != nil {
		return C.int32_t(call(func() error { return c.within(func(c *conn) error { return c.tellEnd(end) }) }))
	}
	return look(h, func(c *conn) error { return c.tellEnd(end) })
}

// err returns why the connection is over, nil if it is not.
func (c *conn) err() error {
	if c.core == nil { // it is being made
		return c.net.failed
	}
	return c.core.Err()
}

// tellEnd is bquic_conn_error.
func (c *conn) tellEnd(end *C.bquic_conn_end) error {
	*end = C.bquic_conn_end{}
	err := c.err()
	if err == nil {
		return nil
	}
	var app *quic.ApplicationError
	var transport *quic.TransportError
	var idle *quic.IdleTimeoutError
	var version *quic.VersionNegotiationError
	text, remote := err.Error(), false
	switch {
	case errors.As(err, &app):
		end.kind, end.code, remote = C.BQUIC_END_APPLICATION, C.uint64_t(app.Code), app.Remote
		text = app.Reason
	case errors.As(err, &transport):
		end.kind, end.code, remote = C.BQUIC_END_TRANSPORT, C.uint64_t(transport.Code), transport.Remote
		if remote {
			text = transport.Reason
		}
	case errors.As(err, &idle):
		end.kind = C.BQUIC_END_IDLE
		if idle.Handshake {
			end.kind = C.BQUIC_END_HANDSHAKE_TIMEOUT
		}
	case errors.As(err, &version):
		end.kind, remote = C.BQUIC_END_VERSION, true
	case c.core == nil:
		end.kind = C.BQUIC_END_DIAL
	default:
		end.kind, remote = C.BQUIC_END_RESET, true
	}
	if remote {
		end.remote = 1
	}
	end.reason_len = C.uint32_t(setText(end.reason[:], text))
	return nil
}

//export bq_go_conn_stats
func bq_go_conn_stats(h C.uint64_t, f *C.bquic_conn_figures) C.int32_t {
	return look(h, func(c *conn) error {
		s := c.core.Stats()
		*f = C.bquic_conn_figures{
			packets_sent: C.uint64_t(s.PacketsSent), packets_received: C.uint64_t(s.PacketsReceived), packets_dropped: C.uint64_t(s.PacketsDropped),
			packets_lost: C.uint64_t(s.PacketsLost), packets_spurious: C.uint64_t(s.PacketsSpurious),
			udp_sent: C.uint64_t(s.UDPDatagramsSent), udp_received: C.uint64_t(s.UDPDatagramsReceived),
			bytes_sent: C.uint64_t(s.BytesSent), bytes_received: C.uint64_t(s.BytesReceived),
			datagrams_sent: C.uint64_t(s.DatagramFramesSent), datagrams_received: C.uint64_t(s.DatagramFramesReceived),
			datagrams_dropped: C.uint64_t(s.DatagramFramesDropped), datagrams_unsent: C.uint64_t(s.DatagramFramesUnsent),
			timeouts: C.uint64_t(s.Timeouts), migrations: C.uint64_t(s.Migrations),
			min_rtt: C.uint64_t(s.MinRTT), rtt: C.uint64_t(s.SmoothedRTT), latest_rtt: C.uint64_t(s.LatestRTT),
			congestion_window: C.uint64_t(s.CongestionWindow), in_flight: C.uint64_t(s.BytesInFlight), ecn: boolean(s.ECNCapable),
		}
		if s.LatestRTT == 0 {
			f.rtt = 0 // a guess
		}
		return nil
	})
}

func boolean(b bool) C.uint32_t {
	if b {
		return 1
	}
	return 0
}

//export bq_go_conn_set_keep_alive
func bq_go_conn_set_keep_alive(h, ns C.uint64_t) C.int32_t {
	return use(h, func(c *conn) error {
		c.core.SetKeepAlive(duration(uint64(ns)))
		return nil
	})
}

//export bq_go_conn_ping
func bq_go_conn_ping(h C.uint64_t) C.int32_t {
	return use(h, func(c *conn) error {
		if err := c.core.Err(); err != nil {
			return err
		}
		c.core.Ping()
		return nil
	})
}

//export bq_go_conn_key_update
func bq_go_conn_key_update(h C.uint64_t) C.int32_t {
	return use(h, func(c *conn) error { return c.core.KeyUpdate() })
}

// maxLabel is how long a label can be that secrets are derived with: with "tls13 " before it 255 bytes (RFC 8446, section 7.1).
const maxLabel = 249

//export bq_go_conn_export
func bq_go_conn_export(h C.uint64_t, label *C.char, context *C.uint8_t, contextLen C.size_t, out *C.uint8_t, n C.size_t) C.int32_t {
	return look(h, func(c *conn) error {
		if n > 255*32 {
			return faultf(errArgument, "%d bytes are to be derived, and can be at most 8160", n)
		}
		label := text(label)
		if len(label) > maxLabel {
			return faultf(errArgument, "the label has %d bytes, and can have %d", len(label), maxLabel)
		}
		b, err := c.core.ExportKeyingMaterial(label, memory(context, contextLen), int(n))
		if err != nil {
			return &fault{errState, err.Error()}
		}
		copy(memory(out, n), b)
		return nil
	})
}

//export bq_go_conn_peer_cert
func bq_go_conn_peer_cert(h C.uint64_t, index C.uint32_t, buf *C.uint8_t, n C.size_t, length *C.int64_t) C.int32_t {
	return look(h, func(c *conn) error {
		*length = 0
		if certs := c.core.TLS().PeerCertificates; uint64(index) < uint64(len(certs)) {
			raw := certs[index].Raw
			*length = C.int64_t(len(raw))
			if uint64(len(raw)) <= uint64(n) {
				copy(memory(buf, n), raw)
			}
		}
		return nil
	})
}

//export bq_go_conn_source_ids
func bq_go_conn_source_ids(h C.uint64_t, ids *C.bquic_conn_id, most C.uint32_t, count *C.int32_t) C.int32_t {
	return look(h, func(c *conn) error {
		to := unsafe.Slice(ids, most)
		all := c.core.SourceIDs()
		*count = C.int32_t(len(all))
		for i := range all[:min(len(all), len(to))] {
			b := all[i].Bytes()
			to[i].len = C.uint8_t(len(b))
			copy(unsafe.Slice((*byte)(&to[i].id[0]), len(to[i].id)), b)
		}
		return nil
	})
}

//export bq_go_conn_renew_ids
func bq_go_conn_renew_ids(h C.uint64_t) C.int32_t {
	return use(h, func(c *conn) error {
		c.core.RenewConnIDs()
		return nil
	})
}

//export bq_go_conn_paths
func bq_go_conn_paths(h C.uint64_t, paths *C.bquic_path, most C.uint32_t, count *C.int32_t) C.int32_t {
	return look(h, func(c *conn) error {
		to := unsafe.Slice(paths, most)
		all := c.core.Paths()
		*count = C.int32_t(len(all))
		for i := range min(len(all), len(to)) {
			p, out := &all[i], &to[i]
			*out = C.bquic_path{
				validated: boolean(p.Validated), max_udp_payload: C.uint32_t(p.MaxUDPPayload), ecn: boolean(p.ECNCapable),
				min_rtt: C.uint64_t(p.MinRTT), rtt: C.uint64_t(p.SmoothedRTT), latest_rtt: C.uint64_t(p.LatestRTT),
				congestion_window: C.uint64_t(p.CongestionWindow), in_flight: C.uint64_t(p.BytesInFlight),
				bytes_sent: C.uint64_t(p.BytesSent), bytes_received: C.uint64_t(p.BytesReceived),
			}
			switch p.State {
			case quic.PathActive:
				out.state = C.BQUIC_PATH_ACTIVE
			case quic.PathStandby:
				out.state = C.BQUIC_PATH_STANDBY
			}
			setAddr(&out.local, p.Local)
			setAddr(&out.remote, p.Remote)
		}
		return nil
	})
}

//export bq_go_conn_path
func bq_go_conn_path(h C.uint64_t, what C.int, localC, remoteC *C.bquic_addr, size C.uint32_t) C.int32_t {
	return use(h, func(c *conn) error {
		if c.net != nil {
			return faultf(errState, "the paths of a connection of the event loop are the library's: BQUIC_DIAL_FOLLOW has it move")
		}
		local, err := goAddr(localC)
		if err != nil {
			return err
		}
		remote, err := goAddr(remoteC)
		if err != nil {
			return err
		}
		now := c.time()
		switch what {
		case C.BQ_PATH_PROBE:
			return instead(errArgument, c.core.ProbePath(now, local, remote))
		case C.BQ_PATH_MIGRATE:
			return instead(errArgument, c.core.Migrate(now, local, remote))
		case C.BQ_PATH_ABANDON:
			return instead(errArgument, c.core.AbandonPath(now, local, remote))
		default:
			c.core.HandleTooLarge(now, local, remote, int(min(size, 65535)))
			return nil
		}
	})
}
