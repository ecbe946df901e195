package http3_test

func (w *world) rawH3(s *server) rawClient { panic("no HTTP/3 yet") }

func (w *world) rawServeH3(s *server, h func(rawExchange)) { panic("no HTTP/3 yet") }
