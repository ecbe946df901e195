// Package progress draws the commands' progress bars: on a terminal, and nowhere else.
package progress

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar counts bytes towards a total. Its methods may be called from several goroutines, and do nothing where there is
// no terminal.
type Bar struct {
	bar *progressbar.ProgressBar
}

// New returns a bar on w with a few words of what is counted. total is in bytes, 0 or -1 if it is not known; quiet, or a w that
// is not a terminal, makes a bar that draws nothing.
func New(w io.Writer, what string, total int64, quiet bool) *Bar {
	if total == 0 {
		total = -1 // a spinner
	}
	return bar(w, what, total, quiet, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSpinnerType(14))
}

// Steps is New for total steps in place of bytes.
func Steps(w io.Writer, what string, total int, quiet bool) *Bar {
	return bar(w, what, int64(total), quiet)
}

func bar(w io.Writer, what string, total int64, quiet bool, options ...progressbar.Option) *Bar {
	f, ok := w.(*os.File)
	if quiet || !ok || !term.IsTerminal(int(f.Fd())) {
		return &Bar{}
	}
	return &Bar{progressbar.NewOptions64(total, append(options,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)...)}
}

// Add counts n more bytes.
func (b *Bar) Add(n int) {
	if b.bar != nil {
		_ = b.bar.Add(n) // an error here is a terminal that went away
	}
}

// Write counts len(p) bytes, so that a Bar may stand in an io.MultiWriter.
func (b *Bar) Write(p []byte) (int, error) {
	b.Add(len(p))
	return len(p), nil
}

// Draws tells whether anything is drawn.
func (b *Bar) Draws() bool { return b.bar != nil }

// Expect changes the total, which is as for New.
func (b *Bar) Expect(total int64) {
	if total == 0 {
		total = -1
	}
	if b.bar != nil {
		b.bar.ChangeMax64(total)
	}
}

// Describe changes the words of what is counted.
func (b *Bar) Describe(what string) {
	if b.bar != nil {
		b.bar.Describe(what)
	}
}

// Done takes the bar off the terminal.
func (b *Bar) Done() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}
