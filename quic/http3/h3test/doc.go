// Package h3test is net/http/httptest for HTTP/3: a Server that serves a handler for a test, and a client that talks to it. The network is in
// memory (quicnettest.Network), so that it can be slow or lose what the test wants, needs no port, and works in bubbles of
// testing/synctest, where time is virtual:
//
//	synctest.Test(t, func(t *testing.T) {
//		s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//			time.Sleep(time.Hour)
//			io.WriteString(w, "at last")
//		}))
//		defer s.Close()
//		resp, err := s.Client().Get(s.URL) // an hour later, at once
//		...
//	})
//
// With Server.UDP it serves on a real socket of the loopback interface, for browsers and other programs.
//
// Limitations:
//   - A client other than Client's needs a way into the network in memory: Dial is for http3.Transport.Dial.
//   - The certificate is made anew in each process, for 127.0.0.1, ::1, example.com and names beneath that.
package h3test
