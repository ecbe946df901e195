package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// peer is an implementation that can be measured, by a program with the commands that peers/README.md describes.
type peer struct {
	name   string   // for --peers, and in JSON
	source string   // its folder below peers/; empty for ourselves
	args   []string // before the command
	build  func(ctx context.Context, source, bin string) *exec.Cmd
}

// reference is whom ratios are to.
const reference = "quic-go"

// peers are all implementations.
var peers = []peer{
	{name: "boringquic"},
	{name: "boringquic-core", args: []string{"core"}},
	{name: reference, source: "quicgo", build: goBuild},
}

func goBuild(ctx context.Context, source, bin string) *exec.Cmd {
	return exec.CommandContext(ctx, "go", "build", "-C", source, "-o", bin, ".")
}

func peersCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "Build the programs of other implementations that compare measures",
		Long: `peers builds a small program for each other implementation that compare knows, from
the folder cmd/quic-perf/peers of our source tree, into the user's cache folder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return buildPeers(cmd.Context(), dir, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&dir, "source", "cmd/quic-perf/peers", "`DIR` with the programs' sources")
	return cmd
}

func buildPeers(ctx context.Context, dir string, stdout, stderr io.Writer) error {
	for _, p := range peers {
		if p.build == nil {
			continue
		}
		source := filepath.Join(dir, p.source)
		if _, err := os.Stat(source); err != nil {
			return perf.UsageError(fmt.Errorf("no sources of %s in %s: run this in the root of our source tree, or name the folder with --source",
				p.name, source))
		}
		bin, err := p.program()
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "building %s …\n", p.name)
		cmd := p.build(ctx, source, bin)
		cmd.Stderr = stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s was not built: %w", p.name, err)
		}
		fmt.Fprintf(stdout, "built %s\n", bin)
	}
	return nil
}

// program is where the peer's program is, or is to be.
func (p *peer) program() (string, error) {
	if p.source == "" {
		return os.Executable()
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "boringquic", "peers")
	return filepath.Join(dir, p.source), os.MkdirAll(dir, 0o755)
}
