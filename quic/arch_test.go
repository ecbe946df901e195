package quic_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/boringquic/boringquic"

// room is what the map of the project says of one package: what of the module it may import, and what of everything else.
type room struct {
	dir     string
	imports []string            // folders of the module; a name that ends in /... stands for all below
	std     func(p string) bool // packages that are not of the module
	core    bool                // of the protocol engine: no goroutine, select, clock, lock, socket, dice or C
}

func anyStd(p string) bool { return !strings.Contains(strings.Split(p, "/")[0], ".") && p != "C" }

func only(ps ...string) func(string) bool {
	return func(p string) bool { return slices.Contains(ps, p) }
}

func allBut(ps ...string) func(string) bool {
	return func(p string) bool { return anyStd(p) && !slices.Contains(ps, p) }
}

func and(f func(string) bool, ps ...string) func(string) bool {
	return func(p string) bool { return f(p) || slices.Contains(ps, p) }
}

// rooms is the table of who may import whom. Arrows point downward only.
var rooms = []room{
	{dir: "crypto/internal/boring", std: and(anyStd, "C")},
	{dir: "crypto/internal/boring/alloctest", std: only("C")},
	{dir: "crypto/internal/boring/suitetest", std: only("C", "unsafe"), imports: []string{"crypto/internal/boring"}},
	{dir: "quic/internal/ssltest", std: only("C", "errors", "runtime", "runtime/cgo", "unsafe"), imports: []string{"crypto/handshake"}},
	{dir: "quic/internal/heaptest", std: only("runtime")},
	{dir: "quic/internal/ownfile", std: only("errors", "os", "path/filepath")},
	{dir: "crypto/handshake", std: allBut("unsafe"), imports: []string{"crypto/internal/boring"}},
	{dir: "crypto/protect", std: allBut("unsafe"), imports: []string{"crypto/internal/boring"}},
	{dir: "quic/internal/wire", std: anyStd, core: true, imports: []string{"quic/internal/ranges"}},
	{dir: "quic/internal/ranges", std: anyStd, core: true},
	{dir: "quic/internal/rest", std: only("time"), core: true},
	{dir: "quic/qlog", std: anyStd, core: true},
	{dir: "quic/qpack", std: anyStd, core: true},
	{dir: "quic/internal/congestion", std: only("math", "time"), core: true},
	{dir: "quic/internal/recovery", std: anyStd, core: true,
		imports: []string{"quic/internal/wire", "quic/internal/ranges", "quic/internal/congestion"}},
	{dir: "quic", std: allBut("os", "syscall", "sync", "sync/atomic", "unsafe"), core: true,
		imports: []string{"quic/internal/wire", "quic/internal/ranges", "quic/internal/recovery", "quic/internal/congestion",
			"quic/internal/rest", "quic/qlog", "crypto/handshake", "crypto/protect"}},
	{dir: "quic/internal/sim", std: anyStd,
		imports: []string{"quic", "quic/internal/wire", "quic/internal/ranges", "quic/internal/recovery",
			"quic/internal/congestion", "quic/qlog", "crypto/..."}},
	{dir: "quic/udp", std: and(anyStd, "golang.org/x/sys/unix", "golang.org/x/sys/windows")},
	{dir: "quic/h3", std: and(allBut("net", "os", "syscall", "sync", "sync/atomic", "unsafe"), "github.com/dunglas/httpsfv"), core: true,
		imports: []string{"quic", "quic/qpack", "quic/internal/wire", "quic/internal/rest"}},
	{dir: "quic/internal/ctxerr", std: only("context", "fmt")},
	{dir: "quic/internal/eyeballs", std: only("cmp", "context", "errors", "slices", "time"), imports: []string{"quic/internal/ctxerr"}},
	{dir: "quic/quicnet", std: anyStd, imports: []string{"quic", "quic/udp", "quic/internal/ctxerr", "quic/internal/eyeballs", "quic/internal/ownfile"}},
	{dir: "quic/quiclb", std: anyStd, imports: []string{"quic"}},
	{dir: "quic/quicnettest", std: anyStd, imports: []string{"quic", "quic/udp", "quic/quicnet"}},
	{dir: "quic/http3", std: and(anyStd, "golang.org/x/net/http/httpguts", "golang.org/x/net/idna", "golang.org/x/net/dns/dnsmessage"),
		imports: []string{"quic", "quic/udp", "quic/quicnet", "quic/h3", "quic/qpack", "quic/internal/ctxerr", "quic/internal/eyeballs",
			"quic/internal/ownfile"}},
	{dir: "quic/http3/h3test", std: anyStd, imports: []string{"quic", "quic/udp", "quic/quicnet", "quic/quicnettest", "quic/http3"}},
}

// coreBans are imports that no package of the engine may have, and the files that one is allowed in after all.
var coreBans = map[string][]string{
	"C": nil, "sync": nil, "sync/atomic": nil, "os": nil, "syscall": nil, "math/rand": nil, "math/rand/v2": nil, "unsafe": nil,
	"net": {"quic/errors.go"}, // for net.ErrClosed
}

// clockReads are what of package time reads a clock or waits.
var clockReads = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// The map of the project, as a test: who imports whom, and what the engine keeps away from.
func TestArchitecture(t *testing.T) {
	files := sources(t, "..")
	for _, r := range rooms {
		for name, f := range files[r.dir] {
			for _, fault := range r.faults(name, f) {
				t.Error(fault)
			}
		}
	}
	// What every room is kept from: nobody imports commands and examples, and nobody but tests what is for tests.
	for dir, fs := range files {
		known := slices.ContainsFunc(rooms, func(r room) bool { return r.dir == dir })
		program := inside(dir, "cmd") || inside(dir, "examples")
		if !known && !program {
			t.Errorf("%s is not on the map: add it to rooms, and to the map", dir)
		}
		if top, _, _ := strings.Cut(dir, "/"); !slices.Contains([]string{"cmd", "crypto", "examples", "quic"}, top) {
			t.Errorf("%s is a folder of its own at the top, where packages lie in cmd, crypto, examples and quic", dir)
		}
		for name, f := range fs {
			if program && dir != "cmd/libboringquic" && slices.Contains(imports(f), "C") {
				t.Errorf("%s imports C: of commands and examples only cmd/libboringquic does", name)
			}
			for _, p := range imports(f) {
				p, ours := strings.CutPrefix(p, modulePath+"/")
				if !ours {
					continue
				}
				own := inside(dir, "cmd") && (inside(p, "cmd/internal") || inside(p, command(dir))) || inside(dir, "examples") && p == "examples/localhost"
				if !own && (inside(p, "examples") || inside(p, "cmd")) {
					t.Errorf("%s imports %s: nobody imports commands and examples", name, p)
				}
				if !own && program && strings.Contains(p, "internal/") {
					t.Errorf("%s imports %s: commands and examples use public packages", name, p)
				}
				if dir != "quic/http3/h3test" && slices.Contains([]string{"quic/internal/sim", "quic/quicnettest", "quic/http3/h3test", "crypto/internal/boring/alloctest",
					"crypto/internal/boring/suitetest", "quic/internal/ssltest", "quic/internal/heaptest"}, p) {
					t.Errorf("%s imports %s, which is for tests", name, p)
				}
			}
		}
	}
	for _, dir := range []string{"quic", "quic/internal/wire", "crypto/protect"} {
		if len(files[dir]) == 0 {
			t.Errorf("no source was found in %s: this test looks in the wrong place", dir)
		}
	}
}

// command is the folder of the command that dir belongs to.
func command(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

// A test that cannot fail is a defect: each rule finds its offender.
func TestArchitectureFindsFaults(t *testing.T) {
	core := room{dir: "quic", std: anyStd, core: true, imports: []string{"quic/internal/wire"}}
	for _, c := range []struct {
		name, file, src string
		faults          int
	}{
		{"clean", "quic/a.go", `import ("net/netip"; "time"; "` + modulePath + `/quic/internal/wire"); var _ time.Time`, 0},
		{"goroutine", "quic/a.go", `func f() { go f() }`, 1},
		{"select", "quic/a.go", `func f() { select {} }`, 1},
		{"clock", "quic/a.go", `import "time"; var _ = time.Now`, 1},
		{"clock under another name", "quic/a.go", `import clock "time"; var _ = clock.Since`, 1},
		{"clock without a name", "quic/a.go", `import . "time"; var _ = Now`, 1},
		{"method of that name", "quic/a.go", `import "time"; var _ = time.Time{}.After`, 0},
		{"lock", "quic/a.go", `import "sync"`, 1},
		{"dice", "quic/a.go", `import "math/rand/v2"`, 1},
		{"C", "quic/a.go", `import "C"`, 2},
		{"net", "quic/a.go", `import "net"`, 1},
		{"net for ErrClosed", "quic/errors.go", `import "net"; var _ = net.ErrClosed`, 0},
		{"net for more", "quic/errors.go", `import "net"; var _ net.Conn`, 1},
		{"arrow upward", "quic/a.go", `import "` + modulePath + `/quic/quicnet"`, 1},
		{"stranger", "quic/a.go", `import "example.org/x"`, 1},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), c.file, "package quic; "+c.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := core.faults(c.file, f); len(got) != c.faults {
			t.Errorf("%s: found %q, want %d faults", c.name, got, c.faults)
		}
	}
}

// faults tells what is wrong with one file of the room.
func (r *room) faults(name string, f *ast.File) (out []string) {
	add := func(format string, args ...any) { out = append(out, name+": "+fmt.Sprintf(format, args...)) }
	clock := ""
	for _, spec := range f.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		dir, ours := strings.CutPrefix(p, modulePath+"/")
		if ours && !r.mayImport(dir) || !ours && !r.std(p) {
			add("%s may not import %s", r.dir, p)
		}
		if except, banned := coreBans[p]; r.core && banned && !slices.Contains(except, name) {
			add("the engine does not use %s", p)
		}
		if p == "time" {
			clock = "time"
			if spec.Name != nil {
				clock = spec.Name.Name
			}
		}
	}
	if !r.core {
		return out
	}
	if clock == "." {
		add("package time is imported without a name, which hides reads of the clock")
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add("the engine starts no goroutine")
		case *ast.SelectStmt:
			add("the engine does not select")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && x.Name == clock && slices.Contains(clockReads, n.Sel.Name) {
				add("the engine reads no clock, and this is %s.%s", x.Name, n.Sel.Name)
			}
			if ok && x.Name == "net" && n.Sel.Name != "ErrClosed" {
				add("of package net the engine uses ErrClosed alone, and this is %s", n.Sel.Name)
			}
		}
		return true
	})
	return out
}

func (r *room) mayImport(dir string) bool {
	return slices.ContainsFunc(r.imports, func(allowed string) bool {
		if tree, ok := strings.CutSuffix(allowed, "/..."); ok {
			return inside(dir, tree)
		}
		return dir == allowed
	})
}

func inside(dir, tree string) bool { return strings.HasPrefix(dir, tree+"/") }

func imports(f *ast.File) (ps []string) {
	for _, spec := range f.Imports {
		ps = append(ps, strings.Trim(spec.Path.Value, `"`))
	}
	return ps
}

// sources parses the module's Go files but for tests, by folder and name. Folders with a go.mod of their own are not of it.
func sources(t *testing.T, root string) map[string]map[string]*ast.File {
	t.Helper()
	out := make(map[string]map[string]*ast.File)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			base := d.Name()
			if rel != "." && (err == nil || base == "testdata" || base == "third_party" || strings.HasPrefix(base, ".") ||
				strings.HasPrefix(base, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		if out[dir] == nil {
			out[dir] = make(map[string]*ast.File)
		}
		out[dir][rel] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("no Go files below %s: found %v", root, slices.Collect(maps.Keys(out)))
	}
	return out
}
