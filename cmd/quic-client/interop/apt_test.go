package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// apt brings Debian 13's packages into a folder, whichever Debian the machine has. Its lists are its own, and nothing counts as installed, so that what
// the machine's apt knows stays as it is.
type apt struct{ dir string }

// newApt reads the lists of a kind: deb for packages, deb-src for their sources.
func newApt(dir, kind string) (apt, error) {
	a := apt{dir}
	archive, err := debianArchive()
	if err != nil {
		return a, err
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return a, err
		}
	}
	for name, text := range map[string]string{
		"status":       "",
		"sources.list": fmt.Sprintf("%s %s trixie main\n", kind, archive),
		"apt.conf": fmt.Sprintf("Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts \"/dev/null\";\nDir::State %q;\nDir::State::status %q;\nDir::Cache %q;\n",
			filepath.Join(dir, "sources.list"), filepath.Join(dir, "state"), filepath.Join(dir, "status"), filepath.Join(dir, "cache")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return a, err
		}
	}
	return a, a.run("update")
}

// run is a call of apt-get in the folder.
func (a apt) run(args ...string) error {
	return inFolder(a.dir, "env", append([]string{"APT_CONFIG=" + filepath.Join(a.dir, "apt.conf"), "apt-get"}, args...)...)
}

// debianArchive returns the address that the machine has Debian's packages from, with the key that they are signed with.
func debianArchive() (string, error) {
	b, err := os.ReadFile("/etc/apt/sources.list.d/debian.sources")
	if err != nil {
		return "", err
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && fields[name] == "" { // of the first entry
			fields[name] = strings.TrimSpace(value)
		}
	}
	if fields["URIs"] == "" || fields["Signed-By"] == "" {
		return "", errors.New("debian.sources does not say where packages are")
	}
	return "[signed-by=" + fields["Signed-By"] + "] " + fields["URIs"], nil
}
