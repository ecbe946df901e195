package main

// #include <stdlib.h>
// #include "internal.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime/debug"
	"unsafe"
)

// panicker is an object that a panic leaves in a state that nobody knows, and that can be given up.
type panicker interface{ giveUp(err error) }

// panicError is a panic of ours.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("a fault in boringquic: %v", e.value) }

// panicked makes the error of a panic, and has the program be told of it, with its stack.
func panicked(value any, stack []byte) error {
	err := &panicError{value}
	text := C.CString(err.Error() + "\n" + string(stack))
	defer C.free(unsafe.Pointer(text))
	C.bq_log(text)
	return err
}

// call runs f and returns its status: 0, or that of its error, whose text bquic_error then returns. A panic in f is such an error.
// All functions that C can call are one call, or one of on and in.
func call(f func() error) (s status) {
	defer func() {
		if v := recover(); v != nil {
			err := panicked(v, debug.Stack())
			s = fail(err)
		}
	}()
	if err := f(); err != nil {
		return fail(err)
	}
	return ok
}

// on is call for an object of type T, of kind k: f is alone in it, and in all that has the same gate.
func on[T any](h handle, k kind, f func(*T) error) (s status) {
	o := lookup(h)
	if o == nil || h.kind() != k {
		return fail(handleError(h, k))
	}
	if o.gate != nil {
		if !o.gate.busy.CompareAndSwap(false, true) {
			return fail(&fault{errBusy, "another call is within the " + kindNames[k] + ", of another thread or from a callback"})
		}
		defer o.gate.busy.Store(false)
		// Whoever freed it was quicker than we.
		if lookup(h) != o {
			return fail(handleError(h, k))
		}
	}
	defer func() {
		if v := recover(); v != nil {
			err := panicked(v, debug.Stack())
			s = fail(err)
			surrender(o, err)
		}
	}()
	if err := f(o.self.(*T)); err != nil {
		return fail(err)
	}
	return ok
}

// in is call for an object that any number of threads may be in.
func in[T any](h handle, k kind, f func(*T) error) status {
	return call(func() error {
		o, err := find[T](h, k)
		if err != nil {
			return err
		}
		return f(o)
	})
}

// surrender gives up an object that a panic has left in an unknown state, if it has what can be given up. That may panic, too.
func surrender(o *object, err error) {
	defer func() { _ = recover() }()
	if p, ok := o.self.(panicker); ok {
		p.giveUp(err)
	}
}

func handleError(h handle, k kind) error {
	if h == 0 {
		return &fault{errArgument, "the " + kindNames[k] + " is NULL"}
	}
	if int(h.kind()) < len(kindNames) && h.kind() != 0 && h.kind() != k && lookup(h) != nil {
		return &fault{errHandle, "this is no " + kindNames[k] + " but another object: a " + kindNames[h.kind()]}
	}
	return &fault{errHandle, "there is no such " + kindNames[k] + ": it was freed, or never made by this library"}
}

// fault is an error with the status that C is told.
type fault struct {
	status status
	text   string
}

func (e *fault) Error() string { return e.text }

func faultf(s status, format string, args ...any) error {
	return &fault{s, fmt.Sprintf(format, args...)}
}

// fail notes the text of an error for bquic_error, and returns its status.
func fail(err error) status {
	setErrorText(err.Error())
	return statusOf(err)
}

// instead gives an error that no status stands for, in the place where it came up, the status s.
func instead(s status, err error) error {
	if err == nil || statusOf(err) != errState {
		return err
	}
	return &fault{s, err.Error()}
}

func statusOf(err error) status {
	var f *fault
	if errors.As(err, &f) {
		return f.status
	}
	var p *panicError
	if errors.As(err, &p) {
		return errInternal
	}
	for _, m := range statusMap {
		if m.is(err) {
			return m.status
		}
	}
	return errState
}
