package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// peer is an implementation that can be measured, by a program with the commands that peers/README.md describes.
type peer struct {
	name   string // for --peers, and in JSON
	kind   kind
	source string   // its folder below peers/; empty for ourselves
	args   []string // before the command
	lean   []string // likewise of the client of ours that does as little as can be, where it is not that of all servers of HTTP/3
	over   over     // what it is measured over, of those of the C API
	build  builder
}

// kind is what an implementation is to us.
type kind string

const (
	kindOurs  kind = "ours"
	kindOther kind = "other" // another's implementation of QUIC
	kindTCP   kind = "tcp"
	kindRaw   kind = "raw" // ours without HTTP, beside HTTP/3
)

// builder builds a peer's program below a folder of the user's cache.
type builder interface {
	// program is where the program will be.
	program(dir string, p *peer) string
	command(ctx context.Context, source, dir string, p *peer) *exec.Cmd
}

// reference is whom ratios are to, and tcp what is not QUIC.
const (
	reference = "quic-go"
	tcp       = "tcp"
)

// peers are all implementations.
var peers = []peer{
	{name: "boringquic", kind: kindOurs},
	{name: "boringquic-core", kind: kindOurs, args: []string{"core"}},
	{name: reference, kind: kindOther, source: "quicgo", build: goBuilder{}},
	{name: "quinn", kind: kindOther, source: "quinn", build: cargoBuilder{}},
	{name: "s2n-quic", kind: kindOther, source: "s2n-quic", build: cargoBuilder{}},
	{name: "quiche", kind: kindOther, source: "quiche", build: cargoBuilder{}},
	{name: "msquic", kind: kindOther, source: "msquic", build: cargoBuilder{}},
	{name: "ngtcp2", kind: kindOther, source: "ngtcp2", build: goBuilder{}},
	{name: tcp, kind: kindTCP, source: "nethttp", build: goBuilder{}},
}

// httpPeers are all implementations of HTTP that are measured beside our HTTP/3. Those of QUIC are loaded by our client.
var httpPeers = []peer{
	{name: "http3", kind: kindOurs, args: []string{"h3"}},
	{name: "h3-core", kind: kindOurs, args: []string{"h3", "core"}, lean: leanClient},
	{name: "raw", kind: kindRaw, args: []string{"h3", "raw"}, lean: []string{"h3", "raw", "core"}},
	{name: "raw-core", kind: kindRaw, args: []string{"h3", "raw", "core"}, lean: []string{"h3", "raw", "core"}},
	{name: reference, kind: kindOther, source: "quicgo", args: []string{"h3"}, build: goBuilder{}},
	{name: "caddy", kind: kindOther, source: "caddy", build: goBuilder{}},
	{name: "h3-quinn", kind: kindOther, source: "quinn", args: []string{"h3"}, build: cargoBuilder{}},
	{name: "tokio-quiche", kind: kindOther, source: "tokio-quiche", build: cargoBuilder{}},
	{name: "ngtcp2", kind: kindOther, source: "ngtcp2", args: []string{"h3"}, build: goBuilder{}},
	{name: tcp, kind: kindTCP, source: "nethttp", args: []string{"h2"}, build: goBuilder{}},
}

type goBuilder struct{}

func (goBuilder) program(dir string, p *peer) string { return filepath.Join(dir, "go", p.source) }

func (b goBuilder) command(ctx context.Context, source, dir string, p *peer) *exec.Cmd {
	return exec.CommandContext(ctx, "go", "build", "-C", source, "-o", b.program(dir, p), ".")
}

type cargoBuilder struct{}

func (cargoBuilder) program(dir string, p *peer) string {
	return filepath.Join(dir, "cargo", p.source, "release", "peer-"+p.source)
}

func (cargoBuilder) command(ctx context.Context, source, dir string, p *peer) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "cargo", "build", "--release", "--target-dir", filepath.Join(dir, "cargo", p.source))
	cmd.Dir = source
	if clangIsBest() {
		cmd.Env = append(cmd.Environ(), "CC=clang", "CXX=clang++")
	}
	return cmd
}

// clangIsBest tells whether a peer's C is to be compiled by clang: as build.sh does it with ours, where it is installed and nobody
// names another compiler.
func clangIsBest() bool {
	for _, tool := range []string{"clang", "clang++"} {
		if _, err := exec.LookPath(tool); err != nil {
			return false
		}
	}
	return os.Getenv("CC") == "" && os.Getenv("CXX") == ""
}

func peersCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "peers [NAME...]",
		Short: "Build the programs of other implementations that compare measures",
		Long: `peers builds a small program for each other implementation that compare knows, or for those
that are named, from the folder cmd/quic-perf/peers of our source tree, into the user's
cache folder. Those in Rust need cargo and cmake, and some minutes.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := selected(args, slices.Concat(peers, httpPeers, capiPeers), func(p *peer) string { return p.name })
			if err != nil {
				return err
			}
			return buildPeers(cmd.Context(), chosen, dir, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&dir, "source", "cmd/quic-perf/peers", "`DIR` with the programs' sources")
	return cmd
}

// buildPeers builds what it can, and tells in the end what could not be built.
func buildPeers(ctx context.Context, chosen []peer, source string, stdout, stderr io.Writer) error {
	dir, err := peersDir()
	if err != nil {
		return err
	}
	var errs []error
	built := make(map[string]bool)
	for _, p := range chosen {
		if p.build == nil || built[p.build.program(dir, &p)] {
			continue
		}
		built[p.build.program(dir, &p)] = true
		from := filepath.Join(source, p.source)
		if _, err := os.Stat(from); err != nil {
			return usage.Error(fmt.Errorf("no sources of %s in %s: run this in the root of our source tree, or name the folder with --source",
				p.name, from))
		}
		fmt.Fprintf(stdout, "building %s …\n", p.name)
		cmd := p.build.command(ctx, from, dir, &p)
		cmd.Stderr = stderr
		if err := cmd.Run(); err != nil {
			errs = append(errs, fmt.Errorf("%s was not built: %w", p.name, err))
			continue
		}
		fmt.Fprintf(stdout, "built %s\n", p.build.program(dir, &p))
	}
	return errors.Join(errs...)
}

// peersDir is the folder of the programs that were built.
func peersDir() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "boringquic", "peers"), err
}

// program is where the peer's program is, or is to be.
func (p *peer) program() (string, error) {
	if p.build == nil {
		return os.Executable()
	}
	dir, err := peersDir()
	return p.build.program(dir, p), err
}
