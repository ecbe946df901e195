package boring_test

import (
	"testing"
	"unsafe"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// The garbage collector frees the C memory of these with them. Go puts what has less than 16 bytes, none of them a pointer into
// its own memory, into blocks with other such things, of which the longest-lived keeps all: there, C memory might stay for ever.
func TestNotTiny(t *testing.T) {
	for name, size := range map[string]uintptr{
		"TLSContext": unsafe.Sizeof(boring.TLSContext{}), "Credential": unsafe.Sizeof(boring.Credential{}),
		"TicketKeys": unsafe.Sizeof(boring.TicketKeys{}), "TLS": unsafe.Sizeof(boring.TLS{}), "PacketKeys": unsafe.Sizeof(boring.PacketKeys{}),
	} {
		if size < 16 {
			t.Errorf("%s has %d bytes, want 16 at least", name, size)
		}
	}
}
