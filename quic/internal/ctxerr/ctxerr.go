// Package ctxerr says why a context has ended.
package ctxerr

import (
	"context"
	"fmt"
)

// Of returns why a context is done, nil if it is not: its error, and the cause if whoever cancelled it gave another. Both are found by errors.Is.
func Of(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != err {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
