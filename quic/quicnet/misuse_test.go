package quicnet

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Waiting for datagrams that nobody may send fails at once, and tells what to set.
func TestReceiveDatagramOff(t *testing.T) {
	_, c := pair(t, serverConfig(), clientConfig())
	_, err := c.ReceiveDatagram(testContext(t), make([]byte, 10))
	if !errors.Is(err, quic.ErrDatagramsOff) || !strings.Contains(err.Error(), "MaxDatagramFrameSize") {
		t.Errorf("ReceiveDatagram returned %v", err)
	}
}

// An OpenStream that gave up waiting says what it waited for.
func TestOpenStreamSaysLimit(t *testing.T) {
	server := serverConfig()
	server.MaxStreamsBidi = -1
	_, c := pair(t, server, clientConfig())
	ctx, cancel := context.WithTimeout(testContext(t), 10*time.Millisecond)
	defer cancel()
	_, err := c.OpenStream(ctx)
	if !errors.Is(err, quic.ErrStreamLimit) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("OpenStream returned %v", err)
	}
}
