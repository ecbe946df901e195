package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/cmd/internal/smallfile"
	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

type compareOptions struct {
	bytes       string
	duration    time.Duration
	connections []int
	settle      time.Duration
	payload     int
	certificate string
	rounds      int
	usual       bool // nobody has said how many rounds there are to be, nor how long
	http3, capi bool
	only, peers []string
	growth      []string
	most        uint64
	json, from  string
	results     string
}

func compareCommand() *cobra.Command {
	var o compareOptions
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Measure us and other implementations side by side",
		Long: `compare measures each implementation in turn, --rounds times over, each time with a server
and a client process of its own over loopback, and prints the median of each figure with
the smallest and the largest, and ratios to quic-go's in the same round. Every other round goes
backwards, so that a machine that grows slower, or faster, does so for all. The server runs
on one core and the client on another. Growth is what a byte, a stream and a connection cost as
there are more of them.

With --http3, or names of its measurements, HTTP/3 is measured in place of QUIC alone: servers
of other implementations with our client, and as many bytes over streams without HTTP beside
it. Of HTTP/3 and of the C API ratios are held to bars; so the rounds are three times as many and a third
as long, unless flags say otherwise: one that the machine has disturbed decides nothing then.
HTTP/3 takes some twelve minutes.

With --capi the C API is measured: a program in C over boringquic.h, over quiche.h of ours and
over quiche itself, beside the bare core.

Programs of other implementations are built by "quic-perf peers"; one that is missing is
named and skipped. With all of them, on a machine that does nothing else, it takes about
a quarter of an hour.`,
		Example: `  quic-perf peers
  quic-perf compare
  quic-perf compare --only requests,down-1x1 --peers boringquic,quic-go --rounds 5
  quic-perf compare --results cmd/quic-perf/RESULTS.md
  quic-perf compare --http3 --results cmd/quic-perf/RESULTS.md
  quic-perf compare --capi --results cmd/quic-perf/RESULTS.md`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.usual = !cmd.Flags().Changed("rounds") && !cmd.Flags().Changed("for")
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.rounds, "rounds", 3, "`NUMBER` of rounds")
	f.BoolVar(&o.http3, "http3", false, "measure HTTP/3")
	f.BoolVar(&o.capi, "capi", false, "measure the C API")
	f.StringSliceVar(&o.only, "only", nil, "measure these `NAMES` alone: "+names(allMeasurements(defaultSizes))+"; of HTTP/3 "+names(httpMeasurements(defaultSizes))+"; of the C API "+names(capiMeasurements(defaultSizes)))
	f.StringSliceVar(&o.peers, "peers", nil, "measure these `NAMES` alone: "+peerNames(peers)+"; of HTTP/3 "+peerNames(httpPeers)+"; of the C API "+peerNames(capiPeers))
	f.StringSliceVar(&o.growth, "growth", []string{"boringquic", "boringquic-core"}, "`NAMES` of those that growth is measured of; those without the flags for it are skipped")
	f.StringVar(&o.results, "results", "", "write the results to `FILE`, in Markdown, where those of other measures stay as they are, and a chart beside it, in SVG")
	f.StringVar(&o.json, "json", "", "write the results to `FILE` as one JSON object")
	f.StringVar(&o.from, "from", "", "measure nothing, and read what --json wrote to `FILE`")
	f.StringVar(&o.bytes, "bytes", humanize.IBytes(defaultSizes.bytes), "`SIZE` to move over one stream; a quarter of it where there are more")
	f.DurationVar(&o.duration, "for", defaultSizes.duration, "how long requests, handshakes and datagrams go on, a `TIME`")
	f.IntSliceVar(&o.connections, "connections", defaultSizes.connections, "`NUMBERS` of idle connections; all but the first are measured in one round only")
	f.Uint64Var(&o.most, "most", defaultSizes.most, "`NUMBER` of streams, requests and connections at once that growth is measured up to")
	f.DurationVar(&o.settle, "settle", 2*time.Second, "`TIME` from the last idle connection to the look at the server's memory")
	f.IntVar(&o.payload, "udp-payload", perf.DefaultPayload, "largest UDP payload, in `BYTES`")
	f.StringVar(&o.certificate, "certificate", string(certificateECDSA), "`KIND` of the servers' certificate: "+string(certificateECDSA)+" or "+string(certificateRSA)+"; resumed handshakes need none")
	return cmd
}

// shorter is by how much the rounds are shorter, and more, of what is held to bars.
const shorter = 3

// shorten has what is held to bars be measured in more rounds, each of them shorter, unless somebody has said how.
func (o *compareOptions) shorten() {
	if o.usual && (o.http3 || o.capi) {
		o.rounds *= shorter
		o.duration /= shorter
	}
}

func names(ms []measurement) string {
	var s []string
	for i := range ms {
		s = append(s, ms[i].selector())
	}
	return strings.Join(slices.Compact(s), ", ")
}

// selector is a measurement's name for --only.
func (m *measurement) selector() string { return cmp.Or(m.series, m.name) }

// allMeasurements are all that compare measures, growth included.
func allMeasurements(z sizes) []measurement { return withGrowth(measurements(z), growths(z)) }

func peerNames(all []peer) string {
	var s []string
	for _, p := range all {
		s = append(s, p.name)
	}
	return strings.Join(s, ", ")
}

// comparison is all that compare finds out.
type comparison struct {
	HTTP3      bool        `json:"http3,omitempty"` // it is of HTTP/3
	C          bool        `json:"c,omitempty"`     // it is of the C API
	Conditions conditions  `json:"conditions"`
	Peers      []described `json:"peers"`
	Samples    []sample    `json:"samples"`
	Failed     []string    `json:"failed,omitempty"`
}

func (o *compareOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	bytes, err := humanize.ParseBytes(o.bytes)
	if err != nil || bytes < 1<<10 || o.rounds < 1 || o.duration <= 0 {
		return usage.Error(errors.New("give --bytes a size such as 1GiB, and --rounds and --for more than nothing"))
	}
	if len(o.connections) == 0 || slices.Min(o.connections) < 2 || o.most < 100 || bytes < 4*o.most {
		return usage.Error(errors.New("give --connections numbers from 2 on, --most one from 100 on, and --bytes four for each of those"))
	}
	z := sizes{bytes, o.duration, o.connections, o.most}
	if o.from != "" {
		c, err := readFrom(o.from)
		if err != nil {
			return err
		}
		o.http3, o.capi = c.HTTP3, c.C
		return o.report(c, z, stdout, stderr)
	}
	if o.http3 && o.capi {
		return usage.Error(errors.New("give --http3 or --capi, not both"))
	}
	o.http3 = o.http3 || !o.capi && slices.ContainsFunc(o.only, func(n string) bool { return strings.HasPrefix(n, "h3-") })
	o.shorten()
	z.duration = o.duration
	ms, err := o.measurements(z)
	if err != nil {
		return err
	}
	if err := o.tryWriting(); err != nil {
		return fmt.Errorf("the results cannot be written: %w", err)
	}
	c, err := o.measure(ctx, ms, stderr)
	if err != nil {
		return err
	}
	return o.report(c, z, stdout, stderr)
}

// measurements are those that are wanted.
func (o *compareOptions) measurements(z sizes) ([]measurement, error) {
	all := allMeasurements(z)
	switch {
	case o.http3:
		all = httpMeasurements(z)
	case o.capi:
		all = capiMeasurements(z)
	}
	return selected(o.only, all, (*measurement).selector)
}

// report tells what was measured. What fails comes after what can be told all the same.
func (o *compareOptions) report(c *comparison, z sizes, stdout, stderr io.Writer) error {
	ms, err := o.measurements(z)
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(growths(z), func(s series) bool {
		return !slices.ContainsFunc(ms, func(m measurement) bool { return m.series == s.name })
	})
	var errs []error
	if len(c.Samples) > 0 { // else what files hold of earlier is better
		printText(stdout, c, ms, all)
		if o.json != "" {
			errs = append(errs, writeJSON(o.json, c))
		}
		if o.results != "" {
			errs = append(errs, writeResults(o.results, c, ms, all))
		}
	} else if len(c.Failed) == 0 {
		return errors.New("nothing was measured: none of the programs that are there has a part in it")
	}
	if len(c.Failed) > 0 {
		errs = append(errs, fmt.Errorf("%d measurements failed:\n%s", len(c.Failed), strings.Join(c.Failed, "\n")))
	}
	return errors.Join(errs...)
}

func writeJSON(file string, c *comparison) error {
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// tryWriting finds out whether results can be written, before there are any.
func (o *compareOptions) tryWriting() error {
	if o.results != "" {
		if _, err := readResults(o.results); err != nil { // of which other parts stay
			return err
		}
	}
	for _, file := range []string{o.json, o.results} {
		if err := tryWriting(file); file != "" && err != nil {
			return err
		}
	}
	return nil
}

// tryWriting opens a file for writing. One that was not there is not there after it; a device or a pipe is left alone.
func tryWriting(file string) error {
	before, missing := os.Lstat(file)
	if missing == nil && !before.IsDir() && !before.Mode().IsRegular() {
		return nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	f.Close()
	if missing != nil {
		return os.Remove(file)
	}
	return nil
}

// readFrom reads what was measured before.
func readFrom(file string) (*comparison, error) {
	data, err := smallfile.Read(file)
	if err != nil {
		return nil, err
	}
	c := new(comparison)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s holds nothing that --json has written: %w", file, err)
	}
	return c, nil
}

// measure measures everything.
func (o *compareOptions) measure(ctx context.Context, ms []measurement, stderr io.Writer) (*comparison, error) {
	known := peers
	switch {
	case o.http3:
		known = httpPeers
	case o.capi:
		known = capiPeers
	}
	chosen, err := selected(o.peers, known, func(p *peer) string { return p.name })
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "quic-perf")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := bench{payload: o.payload, settle: o.settle}
	if b.cert, b.key, err = writeCertificate(dir, certificateKind(o.certificate)); err != nil {
		return nil, err
	}
	adapters, err := findAdapters(ctx, chosen, o.payload, stderr)
	if err != nil {
		return nil, err
	}
	for i := range adapters {
		a := &adapters[i]
		a.grows = slices.Contains(o.growth, a.name) && slices.Contains(a.about.Loads, perf.LoadGrowth)
	}
	return o.measureAll(ctx, &b, adapters, ms, stderr)
}

// selected returns those of all that are named, in all's order; without names all of them.
func selected[T any](names []string, all []T, nameOf func(*T) string) (chosen []T, err error) {
	if len(names) == 0 {
		return all, nil
	}
	left := slices.Clone(names)
	for i := range all {
		if slices.Contains(names, nameOf(&all[i])) {
			chosen = append(chosen, all[i])
			left = slices.DeleteFunc(left, func(n string) bool { return n == nameOf(&all[i]) })
		}
	}
	if len(left) > 0 {
		return nil, usage.Error(fmt.Errorf("there is no %q; see quic-perf compare --help", left[0]))
	}
	return chosen, nil
}

// findAdapters returns the programs that are there, and names those that are not.
func findAdapters(ctx context.Context, chosen []peer, payload int, stderr io.Writer) (found []adapter, err error) {
	for _, p := range chosen {
		a := adapter{peer: p}
		if a.bin, err = p.program(); err != nil {
			return nil, err
		}
		if _, err := os.Stat(a.bin); err != nil {
			fmt.Fprintf(stderr, "quic-perf: %s is skipped: run \"quic-perf peers\" to build it\n", p.name)
			continue
		}
		if err := a.describe(ctx, payload); err != nil {
			return nil, err
		}
		if a.about.Missing != "" {
			fmt.Fprintf(stderr, "quic-perf: %s is skipped: %s\n", p.name, a.about.Missing)
			continue
		}
		found = append(found, a)
	}
	return found, nil
}

// measureAll measures everything in rounds, in each of which all implementations take turns at each measurement, every other time in reverse order.
func (o *compareOptions) measureAll(ctx context.Context, b *bench, adapters []adapter, ms []measurement, stderr io.Writer) (*comparison, error) {
	what := fmt.Sprintf("%s over one stream, a quarter of it over more; requests, handshakes and datagrams for %v each", o.bytes, o.duration)
	switch {
	case o.capi:
		what = fmt.Sprintf("%s over one stream, or in one response or request; requests for %v", o.bytes, o.duration)
	case o.http3:
		what = fmt.Sprintf("%s in one response or request; requests for %v each", o.bytes, o.duration)
	}
	c := &comparison{HTTP3: o.http3, C: o.capi, Conditions: conditionsNow(o.rounds, what, certificateKind(o.certificate))}
	total := 0
	for i := range adapters {
		c.Peers = append(c.Peers, described{adapters[i].name, adapters[i].kind, compilersOf(adapters[i].bin), adapters[i].about})
		for j := range ms {
			if adapters[i].has(&ms[j]) {
				total += ms[j].roundsOf(o.rounds)
			}
		}
	}
	bar := progress.Steps(stderr, "measuring", total, false)
	defer bar.Done()
	order := slices.Clone(adapters)
	for round := range o.rounds {
		for j := range ms {
			if round >= ms[j].roundsOf(o.rounds) {
				continue
			}
			for i := range order {
				a, m := &order[i], &ms[j]
				if !a.has(m) {
					continue
				}
				what := fmt.Sprintf("round %d of %d, %s, %s", round+1, o.rounds, m.name, a.name)
				bar.Describe(what)
				s, err := b.measure(ctx, a, m)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				bar.Add(1)
				if err != nil {
					c.Failed = append(c.Failed, what+": "+err.Error())
					continue
				}
				s.Round = round
				c.Samples = append(c.Samples, s)
				if !bar.Draws() {
					fmt.Fprintf(stderr, "%s: %s\n", what, s.line(m))
				}
			}
		}
		slices.Reverse(order)
	}
	return c, nil
}

func (m *measurement) roundsOf(rounds int) int {
	if m.once {
		return 1
	}
	return rounds
}

// line is a sample's figures on one line.
func (s *sample) line(m *measurement) string {
	var parts []string
	for _, f := range m.figures {
		if x, ok := f.of(s); ok {
			parts = append(parts, fmt.Sprintf("%.*f %s", f.digits, x, f.title))
		}
	}
	return strings.Join(parts, ", ")
}
