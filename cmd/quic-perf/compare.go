package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/progress"
)

type compareOptions struct {
	bytes   string
	runs    int
	streams int
	upload  bool
	json    bool
}

func compareCommand() *cobra.Command {
	var o compareOptions
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Measure us and other implementations side by side",
		Long: `compare moves --bytes over loopback with each implementation in turn, --runs times over,
each time with a server and a client process of its own, and prints the median of each
figure with the smallest and the largest, and its ratio to the first one's. On Linux with
two or more cores the server runs on one core and the client on another.

Programs of other implementations are built by "quic-perf peers"; one that is missing is
named and skipped.`,
		Example: "  quic-perf peers\n  quic-perf compare --bytes 1GiB --runs 5",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return compare(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.bytes, "bytes", "1GiB", "`SIZE` to move in each run")
	f.IntVar(&o.runs, "runs", 3, "`NUMBER` of runs of each implementation")
	f.IntVar(&o.streams, "streams", 1, "`NUMBER` of streams to spread the bytes over")
	f.BoolVar(&o.upload, "upload", false, "send to the server in place of receiving from it")
	f.BoolVar(&o.json, "json", false, "print every run as a JSON object in place of the table")
	return cmd
}

// measured is one run of one implementation.
type measured struct {
	Peer string `json:"peer"`
	result
}

func compare(ctx context.Context, o compareOptions, stdout, stderr io.Writer) error {
	total, err := humanize.ParseBytes(o.bytes)
	if err != nil || total == 0 || o.runs < 1 || o.streams < 1 {
		return errUsage{errors.New("give --bytes a size such as 1GiB, and --runs and --streams a number from 1 on")}
	}
	programs := make(map[string]string)
	var names []string
	for _, p := range peers {
		bin, err := p.program()
		if err != nil {
			return err
		}
		if _, err := os.Stat(bin); err != nil {
			fmt.Fprintf(stderr, "quic-perf: %s is skipped: run \"quic-perf peers\" to build it\n", p.name)
			continue
		}
		programs[p.name] = bin
		names = append(names, p.name)
	}
	bar := progress.Steps(stderr, "measuring", o.runs*len(names), o.json)
	defer bar.Done()
	runs := make(map[string][]result)
	for range o.runs {
		for _, name := range names {
			r, err := o.measure(ctx, programs[name], total)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			runs[name] = append(runs[name], r)
			bar.Add(1)
			if o.json {
				if err := json.NewEncoder(stdout).Encode(measured{name, r}); err != nil {
					return err
				}
			}
		}
	}
	bar.Done()
	if o.json {
		return nil
	}
	return o.print(stdout, names, runs, total)
}

// measure starts a server and a client, and returns what the client says.
func (o *compareOptions) measure(ctx context.Context, program string, total uint64) (r result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := exec.CommandContext(ctx, program, "server", "--listen", "127.0.0.1:0")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := startOn(0, server); err != nil {
		return r, err
	}
	defer func() {
		cancel()
		_ = server.Wait() // it was killed
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	_, addr, ok := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		return r, fmt.Errorf("the server did not say where it listens but %q", line)
	}
	args := []string{"bulk", "--json", "--bytes", strconv.FormatUint(total, 10), "--streams", strconv.Itoa(o.streams)}
	if o.upload {
		args = append(args, "--upload")
	}
	client := exec.CommandContext(ctx, program, append(args, addr)...)
	client.Stderr = os.Stderr
	var answer strings.Builder
	client.Stdout = &answer
	if err := startOn(1, client); err != nil {
		return r, err
	}
	if err := client.Wait(); err != nil {
		return r, fmt.Errorf("the client failed: %w", err)
	}
	if err := json.Unmarshal([]byte(answer.String()), &r); err != nil {
		return r, fmt.Errorf("the client printed %q: %w", answer.String(), err)
	}
	if r.Server == nil {
		return r, errors.New("the server does not tell its usage")
	}
	return r, nil
}

// figures are what the table shows of a result.
var figures = []struct {
	title  string
	format string
	of     func(*result) float64
}{
	{"Mbit/s", "%.0f", func(r *result) float64 { return r.MbitPerSecond }},
	{"server CPU s/GiB", "%.3f", func(r *result) float64 { return r.Server.CPUPerGiB }},
	{"client CPU s/GiB", "%.3f", func(r *result) float64 { return r.Client.CPUPerGiB }},
	{"server RSS MiB", "%.1f", func(r *result) float64 { return float64(r.Server.MaxRSS) / (1 << 20) }},
	{"client RSS MiB", "%.1f", func(r *result) float64 { return float64(r.Client.MaxRSS) / (1 << 20) }},
}

// print draws the table.
func (o *compareOptions) print(w io.Writer, names []string, runs map[string][]result, total uint64) error {
	direction := "down"
	if o.upload {
		direction = "up"
	}
	fmt.Fprintf(w, "%s %s, %d streams, %d runs each, interleaved; %s/%s, %d CPUs, %s\n", humanize.IBytes(total), direction,
		o.streams, o.runs, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fmt.Fprintf(w, "each figure: median (smallest to largest), ratio to %s's median\n\n", names[0])
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "\tUDP payload")
	for _, f := range figures {
		fmt.Fprintf(table, "\t%s", f.title)
	}
	fmt.Fprintln(table)
	for _, name := range names {
		fmt.Fprintf(table, "%s\t%d", name, runs[name][0].UDPPayload)
		for _, f := range figures {
			low, mid, high := spread(runs[name], f.of)
			_, reference, _ := spread(runs[names[0]], f.of)
			fmt.Fprintf(table, "\t"+f.format+" ("+f.format+" to "+f.format+") x%.2f", mid, low, high, mid/reference)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// spread returns the smallest, the median and the largest value.
func spread(rs []result, of func(*result) float64) (low, mid, high float64) {
	var v []float64
	for i := range rs {
		v = append(v, of(&rs[i]))
	}
	slices.Sort(v)
	return v[0], v[len(v)/2], v[len(v)-1]
}
