package quicnet

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/udp"
)

// suspicious is the socket of a server that takes every token for a Retry token that is wrong, and says so.
type suspicious struct {
	net.PacketConn
	t       *testing.T
	mu      sync.Mutex
	refused map[string]bool // the connection IDs that clients chose
}

func (s *suspicious) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(p)
		if h, used := wire.ConsumeLongHeader(p[:max(n, 0)]); err != nil || used < 0 || h.Type != wire.Initial || len(h.Token) == 0 {
			return n, from, err
		} else {
			s.mu.Lock()
			s.refused[string(h.DstConnID)] = true
			s.mu.Unlock()
			s.refuse(&h, from)
		}
	}
}

// refuse answers an Initial packet with CONNECTION_CLOSE.
func (s *suspicious) refuse(h *wire.LongHeader, to net.Addr) {
	keys := protect.NewKeys()
	defer keys.Release()
	if err := keys.InstallInitial(h.Version, h.DstConnID, false); err != nil {
		s.t.Error(err)
		return
	}
	b, lengthOff, pnOff := wire.AppendLongHeader(nil, wire.Initial, h.Version, h.SrcConnID, []byte("serverid"), nil, 0, 4)
	b = wire.AppendConnectionClose(b, wire.ConnectionClose{Code: uint64(quic.InvalidToken)})
	b = append(b, make([]byte, protect.Overhead)...)
	wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
	if !keys.Seal(b, []protect.SealDesc{{Len: uint32(len(b)), PNOff: uint16(pnOff), PNLen: 4, Slot: protect.Initial}}) {
		s.t.Error("the packet cannot be sealed")
		return
	}
	s.WriteTo(b, to)
}

// A server that refuses the token of a session is dialled again without it, and the session is resumed all the same.
func TestTokenIsRefused(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &suspicious{PacketConn: pc, t: t, refused: make(map[string]bool)}
	sock, err := udp.New(server, udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ep := endpointOn(t, sock, serverConfig())
	serveEcho(t, ep)
	cfg := resumeConfig(tls.NewLRUClientSessionCache(10))
	for i := range 4 {
		resumed := visit(t, Dialer{}, ep.Addr().String(), cfg)
		server.mu.Lock()
		if n := len(server.refused); resumed != (i > 0) || n != i {
			t.Errorf("visit %d: resumed %v, %d tokens were refused", i, resumed, n)
		}
		server.mu.Unlock()
	}
}
