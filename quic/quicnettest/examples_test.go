package quicnettest_test

import (
	"fmt"
	"testing"
)

// tests are what the examples would have go test run.
var tests []func(*testing.T)

// TestExamples runs the tests that examples show.
func TestExamples(t *testing.T) {
	ExamplePipe()
	Example_synctest()
	for i, test := range tests {
		t.Run(fmt.Sprint(i), test)
	}
}
