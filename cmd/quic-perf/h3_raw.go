package main

import (
	"context"
	"strconv"
	"sync"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic/qpack"
)

// rawStack and rawCoreStack move as many bytes as HTTP/3 does, but over streams without it.
var (
	rawStack = &perf.Stack{
		HTTP: true,
		About: func(payload int) perf.About {
			return about("quicnet, the bytes of HTTP/3 over streams without it", payload)
		},
		Serve:  serveQuicnet,
		Shards: true,
		Client: func(ctx context.Context, t perf.Target) (perf.Client, error) {
			c, err := newQuicnetClient(ctx, t)
			if err != nil {
				return nil, err
			}
			return rawClient{c.(*quicnetClient)}, nil
		},
	}
	rawCoreStack = &perf.Stack{
		HTTP: true,
		About: func(payload int) perf.About {
			return about("core, the bytes of HTTP/3 over streams without it", payload)
		},
		Serve: serveCore,
		Loop: &perf.Loop{
			Bulk: func(ctx context.Context, t perf.Target, b *perf.Bulk, h perf.Hooks) (perf.Outcome, error) {
				return newPerfClient().bulk(ctx, t, b, h)
			},
			Requests: func(ctx context.Context, t perf.Target, r *perf.Requests, h perf.Hooks) (perf.Outcome, error) {
				c := newPerfClient()
				c.change = rawExchange
				return c.requests(ctx, t, r, h)
			},
		},
	}
)

// rawClient makes requests of as many bytes as those of HTTP/3 have.
type rawClient struct{ *quicnetClient }

func (c rawClient) Dial(ctx context.Context, alpn string) (perf.Conn, error) {
	conn, err := c.quicnetClient.Dial(ctx, alpn)
	if err != nil {
		return nil, err
	}
	q, ok := conn.(quicnetConn)
	if !ok || alpn != perf.ALPN {
		return conn, nil
	}
	return rawConn{q}, nil
}

type rawConn struct{ quicnetConn }

func (c rawConn) Do(ctx context.Context, e *perf.Exchange) error {
	r := rawExchange(*e)
	return c.quicnetConn.Do(ctx, &r)
}

// rawExchange returns an exchange of the perf protocol with as many bytes each way as one of HTTP/3.
func rawExchange(e perf.Exchange) perf.Exchange {
	request, response := headSizes(e.Down)
	e.Up += request - min(request, perf.HeaderSize) + frameSize(e.Up)
	e.Down += response + frameSize(e.Down)
	return e
}

// frameSize is what the header of a DATA frame takes, in bytes.
func frameSize(n uint64) uint64 {
	switch {
	case n == 0:
		return 0
	case n < 1<<6:
		return 2
	case n < 1<<14:
		return 3
	case n < 1<<30:
		return 5
	}
	return 9
}

// headSizes returns how many bytes the HEADERS frames of a request and its response take, when the dynamic tables are in use.
func headSizes(down uint64) (request, response uint64) {
	if known, ok := knownSizes.Load(down); ok {
		sizes := known.([2]uint64)
		return sizes[0], sizes[1]
	}
	length := strconv.FormatUint(down, 10)
	ask := []qpack.Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "127.0.0.1:40000"},
		{Name: ":path", Value: "/" + length}}
	for _, f := range perf.RequestFields {
		ask = append(ask, qpack.Field{Name: f[0], Value: f[1]})
	}
	answer := []qpack.Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: perf.ContentType},
		{Name: "content-length", Value: length}, {Name: "date", Value: "Thu, 26 Nov 2026 12:00:00 GMT"}}
	request, response = steadySize(ask), steadySize(answer)
	knownSizes.Store(down, [2]uint64{request, response})
	return request, response
}

// knownSizes are what headSizes has found out.
var knownSizes sync.Map

// steadySize is the size of a HEADERS frame when its fields have been sent many times on a connection.
func steadySize(fields []qpack.Field) uint64 {
	const capacity, blocked = 4096, 100
	enc, dec := qpack.NewEncoder(qpack.EncoderConfig{}), qpack.NewDecoder(capacity, blocked)
	must := func(err error) {
		if err != nil {
			panic(err) // ours does not understand ours
		}
	}
	must(enc.SetPeer(capacity, blocked))
	var section []byte
	for i := range uint64(1000) {
		section = enc.AppendSection(section[:0], 4*i, fields, 1<<20)
		must(dec.HandleEncoderStream(enc.Instructions()))
		enc.Sent(len(enc.Instructions()))
		_, err := dec.Decode(4*i, section, nil, 1<<20)
		must(err)
		must(enc.HandleDecoderStream(dec.Instructions()))
		dec.Sent(len(dec.Instructions()))
	}
	return uint64(len(section)) + frameSize(uint64(len(section)))
}
