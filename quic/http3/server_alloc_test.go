package http3

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/boringquic/boringquic/quic/quicnettest"
)

// browserFields are 12 fields as a browser sends them.
var browserFields = http.Header{
	"Accept":                    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
	"Accept-Encoding":           {"gzip, deflate, br, zstd"},
	"Accept-Language":           {"en-US,en;q=0.9"},
	"Cookie":                    {"session=0123456789abcdef; theme=dark"},
	"Priority":                  {"u=0, i"},
	"Referer":                   {"https://example.org/"},
	"Sec-Ch-Ua-Platform":        {`"Linux"`},
	"Sec-Fetch-Dest":            {"document"},
	"Sec-Fetch-Mode":            {"navigate"},
	"Sec-Fetch-Site":            {"same-origin"},
	"Upgrade-Insecure-Requests": {"1"},
	"User-Agent":                {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"},
}

// TestAllocationsOfGet: a GET with 12 fields and a small handler costs the server at most 11 allocations and 2,200 bytes, all that HTTP/3, QPACK
// and QUIC do for it included. What the client costs, which runs in the same process, is told apart by where it was allocated.
func TestAllocationsOfGet(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates, too")
		return
	}
	text := strings.Repeat("0123456789abcdef", 64)
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header) != len(browserFields) {
			t.Errorf("the header is %v", r.Header)
		}
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, text)
	})
	tr := &Transport{TLSClientConfig: quicnettest.ClientConfig().TLS, DisableCompression: true, Dial: ts.dialPacket}
	defer tr.CloseIdleConnections()
	get := func() {
		req, err := http.NewRequest("GET", "https://"+ts.addr+"/path", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = browserFields
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 1024 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		resp.Body.Close()
	}
	for range 200 {
		get() // tables and pools fill
	}
	const rounds = 2000
	objects, bytes, sites := allocationsOf(func() {
		for range rounds {
			get()
		}
	}, "http3.(*serverConn)", "http3.(*exchange)", "http3.(*response)")
	t.Logf("%.2f allocations, %.0f bytes a request%s", float64(objects)/rounds, float64(bytes)/rounds, sites)
	if o := float64(objects) / rounds; o > 11 || o < 5 {
		t.Errorf("%.2f allocations a request", o)
	}
	if b := float64(bytes) / rounds; b > 2200 || b < 500 {
		t.Errorf("%.0f bytes a request", b)
	}
}

// allocationsOf counts what f allocates, in whatever goroutine, beneath functions whose names have one of the marks.
func allocationsOf(f func(), marks ...string) (objects, bytes int64, sites string) {
	old := runtime.MemProfileRate
	runtime.MemProfileRate = 1
	defer func() { runtime.MemProfileRate = old }()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // pools keep what they have
	before := memProfile(marks)
	f()
	for stack, after := range memProfile(marks) {
		o, b := after.AllocObjects-before[stack].AllocObjects, after.AllocBytes-before[stack].AllocBytes
		if objects, bytes = objects+o, bytes+b; b > 1000 {
			sites += "\n" + describe(stack, o, b)
		}
	}
	return objects, bytes, sites
}

// stackOf is where something was allocated.
type stackOf [32]uintptr

// memProfile returns what was allocated so far beneath the marks.
func memProfile(marks []string) map[stackOf]runtime.MemProfileRecord {
	runtime.GC() // the profile is as of the last two
	runtime.GC()
	runtime.GC()
	n, _ := runtime.MemProfile(nil, true)
	all := make([]runtime.MemProfileRecord, n+1000)
	n, _ = runtime.MemProfile(all, true)
	m := make(map[stackOf]runtime.MemProfileRecord)
	for _, r := range all[:n] {
		stack := names(r.Stack())
		if strings.Contains(stack, "quicnettest.") { // the network in memory
			continue
		}
		if slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(stack, mark) }) {
			m[r.Stack0] = r
		}
	}
	return m
}

// names returns the functions of a stack.
func names(stack []uintptr) string {
	var b strings.Builder
	for frames := runtime.CallersFrames(stack); ; {
		f, more := frames.Next()
		if b.WriteString(f.Function + " < "); !more {
			return b.String()
		}
	}
}

func describe(stack stackOf, objects, bytes int64) string {
	return fmt.Sprintf("%8d %8d %.300s", objects, bytes, names(slices.DeleteFunc(stack[:], func(pc uintptr) bool { return pc == 0 })))
}

func (ts *testServer) dialPacket(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
	pc, err := ts.net.ListenPacket("")
	if err != nil {
		return nil, nil, err
	}
	to, err := net.ResolveUDPAddr("udp", addr)
	return pc, to, err
}

// TestSizes has what a request costs beside its header not grow unnoticed.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(exchange{}); n > 632 { // with eight bytes of the allocator's the class of 640
		t.Errorf("an exchange takes %d bytes", n)
	}
	if n := unsafe.Sizeof(serverConn{}); n > 352 {
		t.Errorf("a connection takes %d bytes", n)
	}
}
