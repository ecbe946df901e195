// Package freeport gives ports to tests whose servers can neither choose one of their own nor say which they got.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
)

// Take returns a port of 127.0.0.1 on which nobody listens, neither with UDP nor with TCP, and which is the test's until that ends.
//
// A port that the system chose and that is closed again may be given to whoever opens a socket next, before the server has it. So Take keeps out of
// the range that the system chooses from, and a name in the abstract space of Unix sockets, which the test holds, keeps other tests away, also those
// of other processes.
func Take(t testing.TB) int {
	t.Helper()
	first, last := 10_000, chosenFrom(t)
	for range 1000 {
		port := first + rand.IntN(last-first)
		held, err := net.Listen("unix", name(port))
		if err != nil {
			continue // another test's
		}
		if isFree(port) {
			t.Cleanup(func() { held.Close() })
			return port
		}
		held.Close()
	}
	t.Fatalf("1000 ports between %d and %d were tried, and none is free", first, last)
	return 0
}

// name is what the holder of a port listens on: an address in the abstract space, which ends with its process.
func name(port int) string { return fmt.Sprintf("@boringquic test port %d", port) }

// chosenFrom returns the first port that the system may give to a socket that is bound to port 0.
func chosenFrom(t testing.TB) int {
	t.Helper()
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil {
		t.Fatalf("%s has %q: %v", file, text, err)
	}
	if low <= 11_000 { // a machine where nearly all ports are the system's
		return 32_768
	}
	return low
}

// isFree tells whether a socket of each kind can be bound to a port.
func isFree(port int) bool {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	u.Close()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}
