package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every function of boringquic.h has a comment that begins with its name, and names each parameter but the object that the function is about.
func TestHeaderSays(t *testing.T) {
	header, err := os.ReadFile("include/boringquic.h")
	if err != nil {
		t.Fatal(err)
	}
	var comment []string
	declaration := ""
	functions := 0
	for line := range strings.Lines(string(header)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "// "):
			comment = append(comment, line[3:])
			continue
		case declaration != "" || strings.HasPrefix(line, "BQUIC_API "):
			declaration += " " + line
		}
		if strings.HasSuffix(declaration, ";") {
			functions++
			says(t, strings.Join(comment, " "), declaration)
			declaration = ""
		}
		if declaration == "" {
			comment = nil
		}
	}
	if functions < 73 {
		t.Errorf("%d functions were seen", functions)
	}
}

var parameters = regexp.MustCompile(`(\w+) ?\((.*)\);`)

func says(t *testing.T, comment, declaration string) {
	t.Helper()
	m := parameters.FindStringSubmatch(declaration)
	if m == nil {
		t.Errorf("this is no declaration of a function: %s", declaration)
		return
	}
	if !strings.HasPrefix(comment, m[1]+" ") {
		t.Errorf("the comment of %s does not begin with its name: %q", m[1], comment)
	}
	for i, p := range strings.Split(m[2], ",") {
		words := strings.FieldsFunc(p, func(r rune) bool { return r == ' ' || r == '*' })
		name := words[len(words)-1]
		if name == "void" || i == 0 && strings.HasPrefix(words[0], "bquic_") && strings.Contains(p, "*") {
			continue
		}
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(comment) {
			t.Errorf("the comment of %s does not say what %s is", m[1], name)
		}
	}
}

// The page of the headers can be made, which is when all of them is documented; a name that is gone, or a function without a word, is an error.
func TestDocs(t *testing.T) {
	dir := t.TempDir()
	made := func(of string) (string, error) {
		out, err := exec.Command("bash", of, "docs", "--prefix", dir).CombinedOutput()
		return string(out), err
	}
	if out, err := made("../../build.sh"); err != nil {
		t.Fatalf("build.sh docs: %v\n%s", err, out)
	}
	page := filepath.Join(dir, "share/doc/boringquic")
	front, err := os.ReadFile(filepath.Join(page, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(front), "bquic_endpoint_step</a>") {
		t.Error("the front has no program with links")
	}
	names := declared(t)
	for name := range functions(t, "include/quiche.h") {
		names = append(names, name)
	}
	groups, err := filepath.Glob(filepath.Join(page, "group__*.html"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range groups {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	text := all.String()
	for _, name := range names {
		if !strings.Contains(text, `class="permalink"`) || !strings.Contains(text, name+"()</h2>") {
			t.Errorf("%s has no section", name)
		}
	}
	// In a copy of the tree a function is without a word, and a link leads nowhere.
	tree := t.TempDir()
	for _, file := range []string{"build.sh", "README.md", "third_party/boringssl/PIN", "cmd/libboringquic/quiche.md", "cmd/libboringquic/include/boringquic.h",
		"cmd/libboringquic/include/quiche.h", "cmd/libboringquic/doc/Doxyfile", "cmd/libboringquic/doc/filter.awk", "cmd/libboringquic/doc/page.css"} {
		b, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "/boringquic.h") {
			b = []byte(strings.Replace(string(b), "// Streams.", "BQUIC_API void bquic_nobody_says(void);\n\n// bquic_ping is see #bquic_never.\nBQUIC_API void bquic_ping(void);\n\n// Streams.", 1))
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(tree, file), string(b))
	}
	out, err := made(filepath.Join(tree, "build.sh"))
	if err == nil || !strings.Contains(out, "bquic_nobody_says(void) (function)") || !strings.Contains(out, "'bquic_never' could not be resolved") {
		t.Errorf("what is not documented is no error: %v\n%s", err, out)
	}
}
