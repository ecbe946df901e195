package freeport

import (
	"net"
	"strconv"
	"testing"
)

// No port is given twice while a test holds it, none is one that the system gives, and each can be listened on.
func TestTake(t *testing.T) {
	given := map[int]bool{}
	low := chosenFrom(t)
	for range 500 {
		port := Take(t)
		if given[port] {
			t.Fatalf("port %d was given twice", port)
		}
		given[port] = true
		if port >= low {
			t.Errorf("port %d is one that the system gives, from %d", port, low)
		}
	}
	for port := range given {
		c, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
}

// What a test took is free again after it.
func TestTakeEnds(t *testing.T) {
	var port int
	t.Run("holds", func(t *testing.T) { port = Take(t) })
	held, err := net.Listen("unix", name(port))
	if err != nil {
		t.Fatal(err)
	}
	held.Close()
}
