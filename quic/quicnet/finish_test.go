package quicnet

import (
	"runtime"
	"testing"
)

// A client that closes a connection as soon as it is there has the server's handshake complete: its Finished leaves before.
func TestCloseAtOnce(t *testing.T) {
	ep := listen(t, serverConfig())
	ctx := testContext(t)
	const n = 300
	for i := range uint64(n) {
		dial(t, ep, clientConfig()).Close()
		st := ep.Stats()
		for st.Completed+st.Failed <= i && ctx.Err() == nil {
			runtime.Gosched()
			st = ep.Stats()
		}
		if st.Completed != i+1 {
			t.Fatalf("connection %d: %+v", i, st)
		}
	}
}
