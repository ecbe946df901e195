package versions

import (
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic"
)

func TestParse(t *testing.T) {
	for list, want := range map[string][]uint32{
		"1": {quic.Version1}, "2": {quic.Version2}, "2,1": {quic.Version2, quic.Version1}, "1, 2": {quic.Version1, quic.Version2},
		"": nil, "3": nil, "1,1": nil, "1,": nil, "v1": nil, "1,2,1": nil,
	} {
		got, err := Parse("--version", list)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) || err != nil && !strings.Contains(err.Error(), "--version") {
			t.Errorf("%q: %x, %v", list, got, err)
		}
	}
	if Name(quic.Version1)+Name(quic.Version2)+Name(0x1a2a3a4a) != "120x1a2a3a4a" {
		t.Error("the names of versions are wrong")
	}
}
