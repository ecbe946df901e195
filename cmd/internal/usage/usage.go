// Package usage tells wrong usage of a command from what fails later. All commands end with exit code 2 for the one: flags, arguments or
// environment variables that cannot be meant, whatever the machine and the peer are like, and with others, 1 first of all, for the rest, such as a file that is not
// there.
package usage

import "errors"

// Exit is the exit code for wrong usage.
const Exit = 2

// Error marks an error as one of usage.
func Error(err error) error { return usageError{err} }

// Is tells whether an error is one of usage.
func Is(err error) bool { return errors.As(err, new(usageError)) }

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
