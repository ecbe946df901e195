package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
)

// The version of quiche whose functions quiche.h has.
const quicheCrate = "0.30.0"

// crate returns the folder of the crate quiche, which cargo fetches once. Nothing of it is compiled, and nothing of it is part of boringquic: its
// header says what ours has to declare, its examples are programs that ours has to compile and run.
func crate(t *testing.T) string {
	t.Helper()
	dir, err := fetchCrate()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var fetchCrate = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "quiche")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	manifest := fmt.Sprintf("[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\nquiche = \"=%s\"\n", quicheCrate)
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o755); err != nil {
		return "", err
	}
	for name, text := range map[string]string{"src/lib.rs": "", "Cargo.toml": manifest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("cargo", "metadata", "--quiet", "--format-version", "1")
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cargo metadata, for the crate quiche: %w\n%s", err, &errs)
	}
	var found struct {
		Packages []struct {
			Name         string
			ManifestPath string `json:"manifest_path"`
		}
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return "", err
	}
	for _, p := range found.Packages {
		if p.Name == "quiche" {
			return filepath.Dir(p.ManifestPath), nil
		}
	}
	return "", fmt.Errorf("cargo metadata knows no crate quiche")
})

// The programs of testdata say what the functions do.
func TestQuiche(t *testing.T) {
	certs := append(certificate(t), certificate(t)[0])
	for _, name := range []string{"quiche_transport", "quiche_http3", "quiche_tls", "quiche_bad", "quiche_settings", "quiche_ahead"} {
		for _, v := range []variant{static, asan} {
			t.Run(name+"/"+string(v), func(t *testing.T) {
				args := []string{"-I" + filepath.Join(prefix(t), "lib/boringquic-quiche/include")}
				if name == "quiche_ahead" { // which counts crossings
					args = append(args, "-Wl,--wrap=crosscall2")
				}
				run(t, v.compile(t, name, args...), certs...)
			})
		}
	}
}

// preprocess returns a header without comments, conditionals, and what it includes.
func preprocess(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("cc", "-E", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var own strings.Builder
	in := false
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "# ") {
			in = strings.Contains(line, `"`+file+`"`)
		} else if in {
			own.WriteString(line)
		}
	}
	return own.String()
}

var (
	prototype = regexp.MustCompile(`[a-z_][\w \n]*[ *\n](quiche_\w+)\((?:[^;{}])*\);`)
	structure = regexp.MustCompile(`typedef struct \{([^}]*)\} (\w+);`)
	member    = regexp.MustCompile(`(\w+);`)
	enumerate = regexp.MustCompile(`(?s)enum (\w+) \{([^}]*)\};`)
	define    = regexp.MustCompile(`(?m)^#define (QUICHE_\w+) `)
)

// functions returns the declarations of a header by their names.
func functions(t *testing.T, file string) map[string]string {
	found := map[string]string{}
	for _, m := range prototype.FindAllStringSubmatch(preprocess(t, file), -1) {
		found[m[1]] = m[0]
	}
	return found
}

// layout returns a program that prints what a header says of structs and constants.
func layout(t *testing.T, file string) string {
	var c strings.Builder
	c.WriteString("#include <stdio.h>\n#include <stddef.h>\n#include <quiche.h>\nint main(void) {\n")
	text := preprocess(t, file)
	for _, s := range structure.FindAllStringSubmatch(text, -1) {
		fmt.Fprintf(&c, "  printf(\"%s %%zu\\n\", sizeof(%[1]s));\n", s[2])
		for _, m := range member.FindAllStringSubmatch(s[1], -1) {
			fmt.Fprintf(&c, "  printf(\"%s.%s %%zu %%zu\\n\", offsetof(%[1]s, %[2]s), sizeof(((%[1]s *)0)->%[2]s));\n", s[2], m[1])
		}
	}
	for _, e := range enumerate.FindAllStringSubmatch(text, -1) {
		fmt.Fprintf(&c, "  printf(\"enum %s %%zu\\n\", sizeof(enum %[1]s));\n", e[1])
		for part := range strings.SplitSeq(e[2], ",") {
			name, _, _ := strings.Cut(part, "=")
			if name = strings.TrimSpace(name); name != "" {
				fmt.Fprintf(&c, "  printf(\"%s %%d\\n\", %[1]s);\n", name)
			}
		}
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range define.FindAllStringSubmatch(string(source), -1) {
		switch m[1] {
		case "QUICHE_CC_BBR", "QUICHE_CC_BBR2": // of ours alone
		case "QUICHE_H3_APPLICATION_PROTOCOL":
			c.WriteString("  for (size_t i = 0; i < sizeof QUICHE_H3_APPLICATION_PROTOCOL; i++) printf(\"protocol %d\\n\", QUICHE_H3_APPLICATION_PROTOCOL[i]);\n")
		default:
			fmt.Fprintf(&c, "  printf(\"%s %%d\\n\", %[1]s);\n", m[1])
		}
	}
	return c.String() + "}\n"
}

// Our header declares what the crate's does, with the same types, values and layouts, and the library has all of it.
func TestQuicheHeader(t *testing.T) {
	theirs, ours := filepath.Join(crate(t), "include/quiche.h"), "include/quiche.h"
	declared, own := functions(t, theirs), functions(t, ours)
	if len(declared) != 174 {
		t.Fatalf("the crate's header declares %d functions: %q", len(declared), slices.Sorted(maps.Keys(declared)))
	}
	for name := range declared {
		if own[name] == "" {
			t.Errorf("quiche.h does not declare %s", name)
		}
	}
	// Both in one unit: a declaration that says something else of a function does not compile.
	dir := t.TempDir()
	both := "#include \"quiche.h\"\n"
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		both += declared[name] + "\n"
	}
	unit := filepath.Join(dir, "both.c")
	writeFile(t, unit, both)
	cc(t, "-Wall", "-Wextra", "-Werror", "-Iinclude", "-fsyntax-only", unit)

	var printed []string
	for i, header := range []string{theirs, ours} {
		source, exe := filepath.Join(dir, fmt.Sprintf("layout%d.c", i)), filepath.Join(dir, fmt.Sprintf("layout%d", i))
		writeFile(t, source, layout(t, header))
		cc(t, "-I"+filepath.Dir(header), "-o", exe, source)
		lines := strings.Split(run(t, exe), "\n")
		slices.Sort(lines)
		printed = append(printed, strings.Join(lines, "\n"))
	}
	if n := strings.Count(printed[0], "\nQUICHE_"); n < 80 {
		t.Errorf("the crate's header has %d constants", n)
	}
	if printed[0] != printed[1] {
		t.Errorf("the crate's header:\n%s\nours:\n%s", printed[0], printed[1])
	}
	for _, lang := range []string{"c", "c++"} {
		cc(t, "-x", lang, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", ours)
	}

	exported := map[string]bool{}
	out, err := exec.Command("nm", "-D", "--defined-only", "--format=posix", filepath.Join(prefix(t), "lib/libboringquic.so")).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.Fields(line)[0], "@")
		exported[name] = strings.HasPrefix(name, "quiche_")
	}
	for name := range own {
		if !exported[name] {
			t.Errorf("the library does not export %s", name)
		}
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// quicheFlags returns what programs written for quiche are compiled with. They know of one folder, that of libquiche.
func quicheFlags(t *testing.T) []string {
	t.Helper()
	ask := func(args ...string) []string {
		cmd := exec.Command("pkg-config", append(args, "quiche = "+quicheCrate)...)
		cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+filepath.Join(prefix(t), "lib/boringquic-quiche"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("pkg-config: %v\n%s", err, out)
		}
		return strings.Fields(string(out))
	}
	return append(ask("--cflags", "--libs"), "-Wl,-rpath,"+ask("--variable=libdir")[0])
}

// bquic_compat_supported knows all functions of quiche.h, and quiche.md tells of those that do something else.
func TestQuicheSupported(t *testing.T) {
	dir := t.TempDir()
	source, exe := filepath.Join(dir, "supported.c"), filepath.Join(dir, "supported")
	text := "#include <boringquic.h>\n#include <stdio.h>\nint main(void) {\n"
	for _, name := range append(slices.Sorted(maps.Keys(functions(t, "include/quiche.h"))), "quiche_none") {
		text += fmt.Sprintf("  printf(\"%s %%d\\n\", bquic_compat_supported(\"%[1]s\"));\n", name)
	}
	writeFile(t, source, text+"}\n")
	cc(t, append([]string{"-o", exe, source}, shared.flags(t)...)...)
	var without, listed []string
	for line := range strings.Lines(run(t, exe)) {
		name, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "quiche_none" && answer == fmt.Sprint(int(errArgument)), answer == "1":
		case answer == "0":
			without = append(without, name)
		default:
			t.Errorf("bquic_compat_supported(%q) is %s", name, answer)
		}
	}
	doc, err := os.ReadFile("quiche.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		listed = append(listed, m[1])
	}
	if !slices.Equal(without, listed) {
		t.Errorf("bquic_compat_supported says 0 of\n%q\nquiche.md lists\n%q", without, listed)
	}
}

// quiche's own examples, with libev, compile and talk to each other.
func TestQuicheExamples(t *testing.T) {
	examples, dir := filepath.Join(crate(t), "examples"), t.TempDir()
	certs := certificate(t)
	for i, name := range []string{"cert.crt", "cert.key"} { // where their servers look
		b, err := os.ReadFile(certs[i])
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), string(b))
	}
	for _, c := range []struct{ client, server string }{{"client", "server"}, {"http3-client", "http3-server"}} {
		t.Run(c.client, func(t *testing.T) {
			for _, name := range []string{c.client, c.server} {
				args := []string{"-g", "-Wall", "-Werror", "-pedantic", "-o", filepath.Join(dir, name), filepath.Join(examples, name+".c")}
				cc(t, append(append(args, quicheFlags(t)...), "-lev", "-lm")...)
			}
			serveExample(t, dir, c.server, func(port string) {
				if got := run(t, filepath.Join(dir, c.client), "127.0.0.1", port); got != "byez\n" {
					t.Errorf("the client got %q", got)
				}
			})
		})
	}
}

// serveExample runs an example's server while f runs. Where it listens it does not say: it has to be told a port that is free.
func serveExample(t *testing.T, dir, name string, f func(port string)) {
	t.Helper()
	port := strconv.Itoa(freeport.Take(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := exec.CommandContext(ctx, filepath.Join(dir, name), "127.0.0.1", port)
	server.Dir = dir
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, &log)
		}
	}()
	f(port) // a client that is too early sends again
}
