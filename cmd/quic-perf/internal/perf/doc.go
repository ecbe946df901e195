// Package perf is what quic-perf and the programs that stand for other implementations in Go have in common: the command
// line, the protocols, the loads and what is reported. A program brings a Stack, which says how its implementation serves,
// dials and opens streams, and calls Main or Commands; it then behaves as peers/README.md wants of every program that
// quic-perf compares.
package perf
