package ctxerr

import (
	"context"
	"errors"
	"testing"
)

func TestOf(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if err := Of(ctx); err != nil {
		t.Errorf("a context that goes on has %v", err)
	}
	reason := errors.New("the reason")
	cancel(reason)
	if err := Of(ctx); !errors.Is(err, reason) || !errors.Is(err, context.Canceled) || err.Error() != "context canceled: the reason" {
		t.Errorf("a context with a cause has %v", err)
	}
	plain, end := context.WithCancel(context.Background())
	end()
	if err := Of(plain); err != context.Canceled {
		t.Errorf("a context without a cause has %v", err)
	}
}
