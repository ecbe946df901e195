package frameworks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// connectService is a service with a method of each kind, as generated code would make it.
func connectService(cancelled chan<- error) http.Handler {
	m := http.NewServeMux()
	m.Handle("/test.Service/Unary", connect.NewUnaryHandler("/test.Service/Unary", func(ctx context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
		switch r.Msg.Value {
		case "fail":
			err := connect.NewError(connect.CodeFailedPrecondition, errors.New("on purpose"))
			err.Meta().Set("X-Meta", "m")
			if d, derr := connect.NewErrorDetail(wrapperspb.Int64(7)); derr == nil {
				err.AddDetail(d)
			}
			return nil, err
		case "wait":
			<-ctx.Done()
			cancelled <- ctx.Err()
			return nil, ctx.Err()
		}
		out := connect.NewResponse(wrapperspb.String("got " + r.Msg.Value))
		out.Header().Set("X-Header", r.Header().Get("X-Header"))
		out.Trailer().Set("X-Trailer", "t")
		return out, nil
	}))
	m.Handle("/test.Service/Upload", connect.NewClientStreamHandler("/test.Service/Upload", func(ctx context.Context, in *connect.ClientStream[text]) (*connect.Response[wrapperspb.Int64Value], error) {
		n := int64(0)
		for in.Receive() {
			n += int64(len(in.Msg().Value))
		}
		return connect.NewResponse(wrapperspb.Int64(n)), in.Err()
	}))
	m.Handle("/test.Service/Download", connect.NewServerStreamHandler("/test.Service/Download", func(ctx context.Context, r *connect.Request[wrapperspb.Int64Value], out *connect.ServerStream[text]) error {
		for i := range r.Msg.Value {
			if err := out.Send(wrapperspb.String(fmt.Sprint(i, letters(1000)))); err != nil {
				return err
			}
		}
		out.ResponseTrailer().Set("X-Trailer", "t")
		if r.Msg.Value == 5 {
			return connect.NewError(connect.CodeResourceExhausted, errors.New("five"))
		}
		return nil
	}))
	m.Handle("/test.Service/Chat", connect.NewBidiStreamHandler("/test.Service/Chat", func(ctx context.Context, s *connect.BidiStream[text, text]) error {
		for {
			in, err := s.Receive()
			if err != nil && s.RequestHeader().Get("X-Goes") != "" {
				<-ctx.Done()
				cancelled <- err
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.Send(wrapperspb.String("re: " + in.Value)); err != nil {
				return err
			}
		}
	}))
	return m
}

// Connect, gRPC and gRPC-Web, with calls of each kind.
func TestConnect(t *testing.T) {
	for _, p := range []struct {
		name    string
		options []connect.ClientOption
	}{
		{"Connect", nil},
		{"ConnectJSON", []connect.ClientOption{connect.WithProtoJSON()}},
		{"GRPC", []connect.ClientOption{connect.WithGRPC()}},
		{"GRPCGzip", []connect.ClientOption{connect.WithGRPC(), connect.WithSendGzip()}},
		{"GRPCWeb", []connect.ClientOption{connect.WithGRPCWeb()}},
	} {
		t.Run(p.name, func(t *testing.T) {
			each(t, func(t *testing.T, serve func(http.Handler) *server) {
				cancelled := make(chan error, 10)
				c := &connectCalls{server: serve(connectService(cancelled)), options: p.options, cancelled: cancelled}
				t.Run("Unary", c.unary)
				t.Run("Upload", c.upload)
				t.Run("Download", c.download)
				t.Run("Chat", c.chat)
				t.Run("Cancel", c.cancel)
			})
		})
	}
}

type connectCalls struct {
	*server
	options   []connect.ClientOption
	cancelled chan error
}

func (c *connectCalls) unaryClient() *connect.Client[text, text] {
	return connect.NewClient[text, text](c.client, c.url+"/test.Service/Unary", c.options...)
}

func (c *connectCalls) unary(t *testing.T) {
	client := c.unaryClient()
	for _, n := range []int{0, 1, 1 << 20} {
		r := connect.NewRequest(wrapperspb.String(letters(n)))
		r.Header().Set("X-Header", "h")
		resp, err := client.CallUnary(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Msg.Value != "got "+letters(n) || resp.Header().Get("X-Header") != "h" || resp.Trailer().Get("X-Trailer") != "t" {
			t.Errorf("%d bytes came back, %v, %v", len(resp.Msg.Value), resp.Header(), resp.Trailer())
		}
	}
	_, err := client.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("fail")))
	var ce *connect.Error
	if !errors.As(err, &ce) || ce.Code() != connect.CodeFailedPrecondition || ce.Message() != "on purpose" || ce.Meta().Get("X-Meta") != "m" || len(ce.Details()) != 1 {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err = client.CallUnary(ctx, connect.NewRequest(wrapperspb.String("wait"))); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("after the deadline: %v", err)
	}
	<-c.cancelled
}

func (c *connectCalls) upload(t *testing.T) {
	s := connect.NewClient[text, wrapperspb.Int64Value](c.client, c.url+"/test.Service/Upload", c.options...).CallClientStream(t.Context())
	for range 200 {
		if err := s.Send(wrapperspb.String(letters(10000))); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := s.CloseAndReceive()
	if err != nil || resp.Msg.Value != 2000000 {
		t.Errorf("%v, %v", resp, err)
	}
}

func (c *connectCalls) download(t *testing.T) {
	client := connect.NewClient[wrapperspb.Int64Value, text](c.client, c.url+"/test.Service/Download", c.options...)
	for _, n := range []int64{0, 1000, 5} {
		s, err := client.CallServerStream(t.Context(), connect.NewRequest(wrapperspb.Int64(n)))
		if err != nil {
			t.Fatal(err)
		}
		got := int64(0)
		for s.Receive() {
			if s.Msg().Value != fmt.Sprint(got, letters(1000)) {
				t.Fatalf("message %d: %.20s", got, s.Msg().Value)
			}
			got++
		}
		if code := connect.CodeOf(s.Err()); got != n || (n == 5) != (s.Err() != nil && code == connect.CodeResourceExhausted) {
			t.Errorf("%d messages of %d, %v", got, n, s.Err())
		}
		if s.ResponseTrailer().Get("X-Trailer") != "t" && n != 5 {
			t.Errorf("trailers: %v", s.ResponseTrailer())
		}
		s.Close()
	}
}

// A chat goes to and fro: each message is answered before the next is sent.
func (c *connectCalls) chat(t *testing.T) {
	s := connect.NewClient[text, text](c.client, c.url+"/test.Service/Chat", c.options...).CallBidiStream(t.Context())
	for i := range 100 {
		said := strings.Repeat("x", i*i)
		if err := s.Send(wrapperspb.String(said)); err != nil {
			t.Fatal(err)
		}
		got, err := s.Receive()
		if err != nil || got.Value != "re: "+said {
			t.Fatalf("message %d: %v, %v", i, got, err)
		}
	}
	if err := s.CloseRequest(); err != nil {
		t.Error(err)
	}
	if _, err := s.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	s.CloseResponse()
}

// A client that goes ends what its call does at the server.
func (c *connectCalls) cancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := connect.NewClient[text, text](c.client, c.url+"/test.Service/Chat", c.options...).CallBidiStream(ctx)
	s.RequestHeader().Set("X-Goes", "yes")
	if err := s.Send(wrapperspb.String("hi")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Receive(); connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("the client got %v", err)
	}
	<-c.cancelled
	if _, err := c.unaryClient().CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("still here"))); err != nil {
		t.Error(err)
	}
}
