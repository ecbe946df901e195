package http3_test

import (
	"context"
	"crypto/tls"
)

type h3Server struct{}
type h3Client struct{}

func (s *server) startH3()                           { panic("no HTTP/3 yet") }
func (s *server) shutdownH3(_ context.Context) error { panic("no HTTP/3 yet") }
func (s *server) closeH3() error                     { panic("no HTTP/3 yet") }
func (c *client) startH3(*clientOptions, *tls.Config, func(context.Context) error) {
	panic("no HTTP/3 yet")
}
func (s *server) crashH3()             { panic("no HTTP/3 yet") }
func (s *server) limitStreamsH3(n int) { panic("no HTTP/3 yet") }
