// Package usage tells wrong usage of a command from what fails later. All commands end with exit code 2 for the one: flags, arguments or
// environment variables that cannot be meant, whatever the machine and the peer are like, and with others, 1 first of all, for the rest, such as a file that is not
// there.
package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit is the exit code for wrong usage.
const Exit = 2

// Error marks an error as one of usage.
func Error(err error) error { return usageError{err} }

// Is tells whether an error is one of usage.
func Is(err error) bool { return errors.As(err, new(usageError)) }

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Signals are those at which a command that tidies up ends: SIGHUP as well, when its terminal is closed, unless it is ignored, as nohup has it.
func Signals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// MayBeEmpty has Execute let a flag be given without a value. For others that is wrong usage: a script's variable that is not set must not have a command
// do something else, such as fetch in place of send, or trust all in place of one.
func MayBeEmpty(f *pflag.FlagSet, name string) { f.SetAnnotation(name, mayBeEmpty, nil) }

const mayBeEmpty = "may be empty"

// noneEmpty finds a flag that was given without a value.
func noneEmpty(f *pflag.FlagSet) (err error) {
	f.Visit(func(f *pflag.Flag) {
		_, may := f.Annotations[mayBeEmpty]
		empty := f.Value.String() == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			empty = len(list.GetSlice()) == 0
		}
		if empty && !may && err == nil {
			err = Error(fmt.Errorf("--%s is empty: give it a value, or leave it away", f.Name))
		}
	})
	return err
}

// Execute runs a command that prints to stdout. What cannot be printed, help included, is an error: somebody may want it in a file, and the disk be full.
func Execute(ctx context.Context, cmd *cobra.Command, stdout io.Writer) error {
	out := &output{w: stdout}
	cmd.SetOut(out)
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return noneEmpty(cmd.Flags()) }
	err := cmd.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("cannot write to standard output: %w", out.err)
	}
	return err
}

// output notes the first error of what is printed, line by line, without a look at each.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}
