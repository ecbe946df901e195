// Package usage tells wrong usage of a command from what fails later. All commands end with exit code 2 for the one: flags, arguments or
// environment variables that cannot be meant, whatever the machine and the peer are like, and with others, 1 first of all, for the rest, such as a file that is not
// there.
package usage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit is the exit code for wrong usage.
const Exit = 2

// Error marks an error as one of usage.
func Error(err error) error { return usageError{err} }

// Is tells whether an error is one of usage.
func Is(err error) bool { return errors.As(err, new(usageError)) }

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Execute runs a command that prints to stdout. What cannot be printed, help included, is an error: somebody may want it in a file, and the disk be full.
func Execute(ctx context.Context, cmd *cobra.Command, stdout io.Writer) error {
	out := &output{w: stdout}
	cmd.SetOut(out)
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
