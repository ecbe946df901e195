//go:build !go1.27

package http3_test

const isGo127 = false
