package h3

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/qpack"
)

// What is known of the entries of tables makes no difference: messages with it are taken for the same, or refused for the same reason, as those of
// literals alone.
func TestClassesMakeNoDifference(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 4))
	names := []string{":method", ":scheme", ":authority", ":path", ":protocol", ":status", ":other", "content-length", "host", "cookie", "priority", "te",
		"accept", "Accept", "connection", "x y", ""}
	values := []string{"GET", "CONNECT", "OPTIONS", "https", "http", "1x", "peer.example", "peer.example:443", "a@b", "/", "*", "/a b", "200", "99", "101", "5",
		"u=1", "trailers", "", " a", "a\n", "websocket"}
	requests, responses, refused := 0, 0, 0
	for range 200_000 {
		var fields []qpack.Field
		switch rng.IntN(4) { // most chance lists are refused at once
		case 0:
			fields = append(fields, qpack.Field{Name: ":status", Value: "200"})
		case 1, 2:
			fields = append(fields, qpack.Field{Name: ":method", Value: "GET"}, qpack.Field{Name: ":scheme", Value: "https"},
				qpack.Field{Name: ":authority", Value: "peer.example"}, qpack.Field{Name: ":path", Value: "/"})
			fields = fields[:4-rng.IntN(3)/2]
		}
		for range rng.IntN(5) {
			fields = append(fields, qpack.Field{Name: names[rng.IntN(len(names))], Value: values[rng.IntN(len(values))]})
		}
		classified := slices.Clone(fields)
		for i := range classified {
			if f := &classified[i]; rng.IntN(3) > 0 {
				f.Class = uint8(classOf(f))
			}
		}
		var m, n Message
		connect := rng.IntN(2) == 0
		priority, fault := m.parseRequest(slices.Clone(fields), connect)
		priority2, fault2 := n.parseRequest(slices.Clone(classified), connect)
		if fault == "" {
			requests++
		}
		same := func(what string) {
			t.Helper()
			for i := range n.Fields {
				n.Fields[i].Class = 0
			}
			if fault != fault2 || fault == "" && !reflect.DeepEqual(m, n) {
				t.Fatalf("seed %#x, %s %+v: %q, %+v; with classes %q, %+v", seed, what, fields, fault, m, fault2, n)
			}
			if fault != "" {
				refused++
			}
		}
		if same("request"); priority != priority2 {
			t.Fatalf("seed %#x: the priority of %+v is %q, and with classes %q", seed, fields, priority, priority2)
		}
		fault, fault2 = m.parseResponse(slices.Clone(fields)), n.parseResponse(slices.Clone(classified))
		if same("response"); fault == "" {
			responses++
		}
	}
	if requests < 5000 || responses < 5000 || refused < 50_000 {
		t.Errorf("seed %#x: only %d requests and %d responses were valid, and %d lists refused", seed, requests, responses, refused)
	}
}

// What is told of a malformed message is short, whatever stands in it: it stays as long as the peer does not end the stream.
func TestReasonsAreShort(t *testing.T) {
	long := strings.Repeat("\xff", 100_000)
	token := strings.Repeat("a", 100_000)
	for _, list := range [][]qpack.Field{
		{{Name: long, Value: "1"}},
		{{Name: token + "A", Value: "1"}},
		{{Name: token, Value: " 1"}},
		{{Name: "content-length", Value: long}},
		{{Name: ":" + long, Value: "1"}},
		{{Name: "x", Value: "1"}, {Name: ":" + long, Value: "1"}},
		{{Name: ":status", Value: long}},
		{{Name: "te", Value: long}},
		{{Name: "transfer-encoding", Value: long}},
	} {
		var m Message
		request := []qpack.Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/"}}
		_, asked := m.parseRequest(append(request, list...), true)
		response := []qpack.Field{{Name: ":status", Value: "200"}}
		answered := m.parseResponse(append(response, list...))
		if list[0].Name == ":status" {
			answered = m.parseResponse(list)
		}
		for i, fault := range []string{asked, answered, trailerFault(list)} {
			if fault == "" && !(i == 2 && list[0].Name == "content-length") || len(fault) > 500 {
				t.Errorf("%.20q, %d: a reason of %d bytes", list[0].Name, i, len(fault))
			}
		}
	}
}
