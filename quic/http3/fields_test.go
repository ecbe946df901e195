package http3

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/boringquic/boringquic/quic/qpack"
)

func TestWireName(t *testing.T) {
	for name, want := range map[string]string{
		"Content-Type": "content-type", "content-type": "content-type", "X-Something-New": "x-something-new", "ETag": "etag",
		"Bad Name": "", "": "", "Name:": "", "Größe": "", ":status": "",
	} {
		if got, ok := wireName(name); got != want || ok != (want != "") {
			t.Errorf("%q becomes %q, %v", name, got, ok)
		}
	}
	if n := testing.AllocsPerRun(100, func() { wireName("Content-Type"); wireName("x-odd") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMakeHeader(t *testing.T) {
	h := makeHeader([]qpack.Field{
		{Canonical: "A", Value: "1"}, {Canonical: "B", Value: "2"}, {Canonical: "A", Value: "3"}, {Canonical: "C", Value: ""},
		{Canonical: "A", Value: "4"},
	})
	want := http.Header{"A": {"1", "3", "4"}, "B": {"2"}, "C": {""}}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got %v", h)
	}
	h.Add("B", "x")
	if want.Add("B", "x"); !reflect.DeepEqual(h, want) {
		t.Errorf("after a value was added: %v", h)
	}
}

func TestAppendField(t *testing.T) {
	got := appendField(nil, "authorization", []string{"good", "bad\n", "with\ttab"})
	want := []qpack.Field{{Name: "authorization", Value: "good", Sensitive: true}, {Name: "authorization", Value: "with\ttab", Sensitive: true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}
