package udp

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
)

// nobody returns an address of this machine that nobody listens on.
func nobody(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	s, err := Listen("udp", address, Options{})
	if err != nil {
		t.Skip(err)
	}
	defer s.Close()
	return s.LocalAddr()
}

// TestReportErrors sends to ports that nobody listens on, and to others: what was refused is told, with its address and how it began, while all
// else passes, and neither the socket nor GSO is given up, however often that happens.
func TestReportErrors(t *testing.T) {
	for _, c := range []struct{ network, bound, to string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1:0"}, {"udp4", ":0", "127.0.0.1:0"}, {"udp6", "[::1]:0", "[::1]:0"},
		{"udp", ":0", "[::1]:0"}, {"udp", ":0", "127.0.0.1:0"},
	} {
		t.Run(c.network+" "+c.bound+" to "+c.to, func(t *testing.T) {
			closed := nobody(t, c.to)
			a, b := open(t, c.network, c.bound, Options{}), open(t, "udp", c.to, Options{})
			var told []NetError
			if !a.ReportErrors(func(errs []NetError) {
				for _, e := range errs {
					e.Quote = append([]byte(nil), e.Quote...)
					told = append(told, e)
				}
			}) {
				t.Fatal("errors are not reported")
			}
			const rounds = 1100 // more than maxFailedReads
			for i := range rounds {
				ts := []Train{
					{Buf: []byte("nobody gets this"), Remote: closed},
					{Buf: []byte("this arrives"), Remote: b.LocalAddr()},
				}
				if err := a.Send(ts); err != nil {
					t.Fatal(err)
				}
				receive(t, b, 1)
				if i%50 == 0 {
					if _, err := a.TryRecv(buffers(1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			// The kernel says nothing of some, lest they be too many.
			if len(told) < 5 || len(told) > rounds {
				t.Errorf("%d errors were told of %d", len(told), rounds)
			}
			for _, e := range told {
				if e.Remote != closed || string(e.Quote) != "nobody gets this" || !errors.Is(e.Err, syscall.ECONNREFUSED) {
					t.Fatalf("told %v, %q, %v", e.Remote, e.Quote, e.Err)
				}
			}
			back := Train{Buf: []byte("back"), Remote: netip.AddrPortFrom(b.LocalAddr().Addr(), a.LocalAddr().Port())}
			if err := b.Send([]Train{back}); err != nil {
				t.Fatal(err)
			}
			receive(t, a, 1)
			if s := a.Stats(); s.SendErrors != 0 || !a.Features().GSO {
				t.Errorf("counted %+v, GSO is %v", s, a.Features().GSO)
			}
		})
	}
}
