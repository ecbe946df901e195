package sim

import (
	"errors"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// replays is a store against replays that a server keeps over a restart.
type replays map[[32]byte]time.Time

// Fresh is quic.ReplayStore's.
func (r replays) Fresh(id [32]byte, expires time.Time) (bool, error) {
	_, known := r[id]
	r[id] = expires
	return !known, nil
}

// earlierSession returns the session of a connection that is made for it over Plain, and restarts the server if that is wished.
func (s Scenario) earlierSession(client, server *Host, clientConfig, serverConfig *quic.Config) (session *quic.Session, err error) {
	w := client.world
	onClient, onServer := client.OnEvent, server.OnEvent
	toServer, toClient := Plain(w)
	client.Attach(NewLink(w, nil, "", toServer, server.Receive))
	server.Attach(NewLink(w, nil, "", toClient, client.Receive))
	confirmed := false
	client.OnEvent = func(_ *Conn, ev quic.Event) {
		if ev.Kind == quic.EventSession && ev.Session.EarlyData() {
			session = ev.Session
		}
		confirmed = confirmed || ev.Kind == quic.EventHandshakeConfirmed
	}
	server.OnEvent = func(*Conn, quic.Event) {}
	qc, err := client.Endpoint.Connect(w.Now(), clientConfig, quic.ConnectParams{ServerName: ServerName, Local: ClientAddr, Remote: ServerAddr})
	if err != nil {
		return nil, err
	}
	c := client.Add(qc)
	if err := w.Run(time.Minute, func() bool { return session != nil && confirmed }); err != nil {
		return nil, errors.Join(errors.New("the connection that is to give a session"), err)
	}
	c.Close(w.Now(), true, 0, "")
	c.Touch()
	if err := w.Run(2*time.Minute, func() bool { return drained(client) && drained(server) }); err != nil {
		return nil, err
	}
	release(client, server)
	client.Conns, server.Conns = nil, nil
	client.OnEvent, server.OnEvent = onClient, onServer
	if s.Restart != nil {
		s.Restart(clientConfig, serverConfig)
		server.Endpoint, err = quic.NewEndpoint(serverConfig)
	}
	return session, err
}
