package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// EthernetPayload is the largest UDP payload that Ethernet carries over IPv4, in bytes.
const EthernetPayload = 1472

// The addresses of the simulated hosts.
var (
	ClientAddr = netip.MustParseAddrPort("192.0.2.1:50000")
	ServerAddr = netip.MustParseAddrPort("192.0.2.2:443")
)

// Scenario is a client that connects to a server over a network and moves data both ways. The zero value of each field
// but Name stands for nothing or its default.
type Scenario struct {
	Name string
	Seed uint64

	// Network makes the stages of the two links. Default: Plain.
	Network func(w *World) (toServer, toClient []Stage)

	// Begin is given the client's connection before anything is sent.
	Begin func(w *World, client *Conn)

	// Configure changes the configurations before they are used. Datagrams have at most EthernetPayload bytes if it does not change that.
	Configure func(client, server *quic.Config)

	// Retry has the server demand a Retry of every client.
	Retry bool

	// Streams is how many streams the client opens, default 1; Upload and Download are the bytes that each carries.
	Streams, Upload, Download int

	// Datagrams is how many DATAGRAM frames each side sends, as large as it may when it does.
	Datagrams int

	// SendBuffer is how long the buffers are that connections pack into, in bytes. Default 64 KiB.
	SendBuffer int

	// Early has the client resume the session of an earlier connection, over Plain, and open its streams before the handshake is
	// complete. Resend has it send again what is rejected. Restart is called between the connections with the server's configuration, for
	// a server that is started anew with it, on the same keys of tickets and the same store against replays.
	Early, Resend bool
	Restart       func(client, server *quic.Config)

	// Check has both hosts' connections checked for contradictions at each step.
	Check bool

	// Limit is the virtual time by which all data must be there. Default 10 minutes.
	Limit time.Duration
}

// Result is how a Scenario went.
type Result struct {
	Handshake, Total   time.Duration // virtual time until the client's handshake was complete, and all data there
	Trace              *Trace
	ToServer, ToClient *Link
	Client, Server     *Conn // drained; the server's is nil if there never was one

	DatagramsToServer, DatagramsToClient Datagrams

	EarlyStreams int // that the server saw opened by 0-RTT data

	begin time.Duration // when the client began, since the epoch
}

// Plain is a network of 10 ms each way and 100 Mbit/s, with half a bandwidth-delay product of queue and more.
func Plain(*World) (toServer, toClient []Stage) {
	return plainStages(), plainStages()
}

func plainStages(before ...Stage) []Stage {
	return append(before, Rate(100e6, 256<<10, 0), Delay(10*time.Millisecond, 0))
}

// Both puts a stage before Plain in each direction.
func Both(stage func() Stage) func(*World) (toServer, toClient []Stage) {
	return func(*World) (toServer, toClient []Stage) {
		return plainStages(stage()), plainStages(stage())
	}
}

// Run plays the scenario until both connections are drained. Its error names the seed.
func (s Scenario) Run() (*Result, error) {
	r, err := s.run()
	if err != nil {
		err = fmt.Errorf("%s, seed %d: %w", s.Name, s.Seed, err)
	}
	return r, err
}

func (s Scenario) run() (*Result, error) {
	w := NewWorld(s.Seed)
	clientConfig, serverConfig := s.configs(w)
	serverEndpoint, err := quic.NewEndpoint(serverConfig)
	if err != nil {
		return nil, err
	}
	clientEndpoint, err := quic.NewEndpoint(nil)
	if err != nil {
		return nil, err
	}
	t := &transfer{world: w, content: newContent(s.Seed), streams: max(s.Streams, 1), upload: s.Upload,
		download: s.Download, datagrams: s.Datagrams, scratch: make([]byte, 64<<10)}

	r := &Result{Trace: &Trace{}}
	client := NewHost(w, ClientAddr, clientEndpoint, func(c *Conn, ev quic.Event) {
		if ev.Kind == quic.EventHandshakeComplete {
			r.Handshake = w.Elapsed() - r.begin
		}
		t.onClientEvent(c, ev)
	})
	server := NewHost(w, ServerAddr, serverEndpoint, t.onServerEvent)
	client.Check, server.Check = s.Check, s.Check
	if s.SendBuffer > 0 {
		client.buf, server.buf = client.buf[:s.SendBuffer], server.buf[:s.SendBuffer]
	}
	p := quic.ConnectParams{ServerName: ServerName, Local: ClientAddr, Remote: ServerAddr}
	if s.Early {
		if p.Session, err = s.earlierSession(client, server, clientConfig, serverConfig); err != nil {
			return nil, err
		}
		p.EarlyData, p.ResendEarly = true, s.Resend
	}
	network := s.Network
	if network == nil {
		network = Plain
	}
	toServer, toClient := network(w)
	r.ToServer = NewLink(w, r.Trace, "to server", toServer, server.Receive)
	r.ToClient = NewLink(w, r.Trace, "to client", toClient, client.Receive)
	client.Attach(r.ToServer)
	server.Attach(r.ToClient)

	r.begin = w.Elapsed()
	qc, err := clientEndpoint.Connect(w.Now(), clientConfig, p)
	if err != nil {
		return nil, err
	}
	r.Client = client.Add(qc)
	if s.Begin != nil {
		s.Begin(w, r.Client)
	}
	defer release(client, server)
	limit := s.Limit
	if limit == 0 {
		limit = 10 * time.Minute
	}
	if err := w.Run(r.begin+limit, t.done); err != nil {
		return r, err
	}
	r.Total = w.Elapsed() - r.begin
	r.DatagramsToServer, r.DatagramsToClient, r.EarlyStreams = t.toServer, t.toClient, t.early
	r.Client.Close(w.Now(), true, 0, "done")
	r.Client.Touch()
	if len(server.Conns) > 0 {
		r.Server = server.Conns[0]
	}
	// A server that the close does not reach ends by its idle timeout.
	return r, w.Run(r.begin+r.Total+10*time.Minute, func() bool { return drained(client) && drained(server) })
}

func (s Scenario) configs(w *World) (client, server *quic.Config) {
	clientTLS, serverTLS := tlsConfigs(w)
	client = &quic.Config{TLS: clientTLS, Rand: newRand(s.Seed, 1), MaxUDPPayload: EthernetPayload}
	server = &quic.Config{TLS: serverTLS, Rand: newRand(s.Seed, 2), MaxUDPPayload: EthernetPayload}
	if s.Retry {
		server.Retry = func(netip.AddrPort) bool { return true }
	}
	if s.Early {
		server.EarlyData = true
		if s.Restart != nil {
			server.TicketKeys, server.EarlyReplay = [][32]byte{{1}}, replays{}
		}
	}
	if s.Configure != nil {
		s.Configure(client, server)
	}
	return client, server
}

// newRand is a host's own source of chance, so that what one host draws does not change the other's.
func newRand(seed uint64, host byte) io.Reader {
	key := [32]byte{31: host}
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}

func drained(h *Host) bool {
	for _, c := range h.Conns {
		if !c.Drained {
			return false
		}
	}
	return true
}

func release(hosts ...*Host) {
	for _, h := range hosts {
		for _, c := range h.Conns {
			c.Release()
		}
	}
}
