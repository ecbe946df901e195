package qpack

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parseQIF reads header lists: a field a line, name, tab, value; an empty line ends a list; a line that begins with # is a comment.
func parseQIF(t testing.TB, text []byte) (lists [][]Field) {
	var list []Field
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "":
			if list != nil {
				lists = append(lists, list)
			}
			list = nil
		case line[0] == '#':
		default:
			name, value, ok := strings.Cut(line, "\t")
			if !ok {
				t.Fatalf("%q has no tab", line)
			}
			list = append(list, Field{Name: name, Value: value})
		}
	}
	if list != nil {
		lists = append(lists, list)
	}
	return lists
}

// record is a piece of an encoded file: what one stream brings, the encoder's where the ID is 0.
type record struct {
	stream uint64
	data   []byte
}

func parseRecords(t testing.TB, b []byte) (records []record) {
	for len(b) > 0 {
		if len(b) < 12 || uint64(len(b)-12) < uint64(binary.BigEndian.Uint32(b[8:])) {
			t.Fatalf("a record is cut off")
		}
		n := int(binary.BigEndian.Uint32(b[8:]))
		records = append(records, record{binary.BigEndian.Uint64(b), b[12 : 12+n]})
		b = b[12+n:]
	}
	return records
}

// corpusEnv names the folder of a public corpus of header lists and of what six encoders made of them, qpackers/qifs.
const corpusEnv = "BORINGQUIC_QIFS"

// corpus returns the folder of the public corpus; it is "" where there is none, which is logged.
func corpus(t testing.TB) string {
	dir := os.Getenv(corpusEnv)
	if dir == "" {
		t.Logf("NOT RUN: this test reads the corpus of qpackers/qifs, and the environment variable %s does not name its folder.", corpusEnv)
	}
	return dir
}

func readFile(t testing.TB, name ...string) []byte {
	b, err := os.ReadFile(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What six other encoders made of the public corpus decodes to what they were given, to the byte.
func TestCorpusDecodes(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "encoded", "*", "*.out.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s/encoded: %v", dir, err)
	}
	for _, file := range files {
		// NAME.out.TABLE.BLOCKED.ACK
		base := filepath.Base(file)
		parts := strings.Split(base, ".")
		table, blocked := atoi(t, parts[2]), atoi(t, parts[3])
		encoder := filepath.Base(filepath.Dir(file))
		if encoder == "f5" || encoder == "quinn" || blocked == 0 {
			blocked = 400 // these break the limit that the name tells
		}
		lists := parseQIF(t, readFile(t, dir, parts[0]+".qif"))
		got, err := decodeRecords(parseRecords(t, readFile(t, file)), table, blocked, encoder != "proxygen")
		if err != nil {
			t.Errorf("%s/%s: %v", encoder, base, err)
			continue
		}
		if len(got) != len(lists) {
			t.Errorf("%s/%s: %d sections, want %d", encoder, base, len(got), len(lists))
		}
		for id, fields := range got {
			// Streams count from 1, in the order of the lists.
			if want := lists[id-1]; !sameFields(fields, want) {
				t.Errorf("%s/%s: stream %d has %v, want %v", encoder, base, id, fields, want)
				break
			}
		}
	}
}

// decodeRecords decodes an encoded file; full tells that the table begins with its capacity set.
func decodeRecords(records []record, table, blocked uint64, full bool) (map[uint64][]Field, error) {
	d := NewDecoder(table, blocked)
	if full {
		d.table.capacity = table
	}
	got := make(map[uint64][]Field)
	waiting := make(map[uint64][]byte)
	for _, r := range records {
		if r.stream == 0 {
			if err := d.HandleEncoderStream(r.data); err != nil {
				return got, err
			}
			for id, ok := d.NextUnblocked(); ok; id, ok = d.NextUnblocked() {
				fields, err := d.Decode(id, waiting[id], nil, 1<<20)
				if err != nil {
					return got, err
				}
				got[id] = fields
				delete(waiting, id)
			}
		} else {
			fields, err := d.Decode(r.stream, r.data, nil, 1<<20)
			switch err {
			case nil:
				got[r.stream] = fields
			case ErrBlocked:
				waiting[r.stream] = r.data
			default:
				return got, err
			}
		}
		d.Sent(len(d.Instructions()))
	}
	if len(waiting) > 0 {
		return got, ErrBlocked
	}
	return got, nil
}

// The corpus's inputs that are no QPACK are refused.
func TestCorpusErrors(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	// Two refer to the first entry of the static table, and to the 63rd, which the drafts of their time did not have. The RFC does.
	legal := map[string]Field{"err9": {Name: ":authority"}, "err10": {Name: "x-xss-protection", Value: "1; mode=block"}}
	files, err := filepath.Glob(filepath.Join(dir, "errors", "err*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s/errors: %v", dir, err)
	}
	for _, file := range files {
		got, err := decodeRecords(parseRecords(t, readFile(t, file)), 4096, 100, true)
		if want, ok := legal[filepath.Base(file)]; ok {
			if err != nil || !sameFields(got[1], []Field{want}) {
				t.Errorf("%s: %v, %v, want %v", filepath.Base(file), got, err, want)
			}
			continue
		}
		if _, ok := err.(*Error); !ok {
			t.Errorf("%s: %v, want an *Error", filepath.Base(file), err)
		}
	}
}

// The static table alone compresses the corpus as well as the best of the others.
func TestCorpusStatic(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	for name, most := range map[string]int{"fb-req-hq": 145888, "fb-resp-hq": 207109, "netbsd-hq": 2934} {
		e, d, total := NewEncoder(EncoderConfig{}), NewDecoder(0, 0), 0
		for i, list := range parseQIF(t, readFile(t, dir, name+".qif")) {
			section := e.AppendSection(nil, uint64(i)*4, list, 0)
			got, err := d.Decode(uint64(i)*4, section, nil, 1<<20)
			if err != nil || !sameFields(got, list) {
				t.Fatalf("%s: %v became %v, %v", name, list, got, err)
			}
			total += len(section)
		}
		if total > most {
			t.Errorf("%s: %d bytes, want %d at most", name, total, most)
		}
	}
}

// sameFields tells whether the decoded fields are those that were to be encoded, in name, value and Sensitive.
func sameFields(got, want []Field) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if got[i].Name != want[i].Name || got[i].Value != want[i].Value || got[i].Sensitive != want[i].Sensitive {
			return false
		}
	}
	return true
}

func atoi(t testing.TB, s string) (v uint64) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			t.Fatalf("%q is no number", s)
		}
		v = v*10 + uint64(c-'0')
	}
	return v
}
