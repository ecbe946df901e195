// Package endpoint is what quic-interop does in each test case of the public QUIC interop runner, as a client and as a server, apart from
// flags and environment: so the harness of package main's tests can run both over a network in memory, in virtual time.
//
// Limitations:
//   - WebTransport's test cases are unsupported.
//   - Clients verify no certificates, as all clients of the runner do: what they are tested with is made for each run.
package endpoint
