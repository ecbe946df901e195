//go:build !cgo

package boring

// Without cgo the compiler stops here, and this name says why.
var _ = boringquic_needs_cgo__install_a_C_compiler_and_set_CGO_ENABLED_to_1
