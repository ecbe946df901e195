package site

import (
	"io/fs"
	"strconv"
	"strings"
)

// twins are the content codings that a file may lie beside itself in, the one that is taken first where a client likes several equally.
var twins = []struct{ coding, suffix string }{
	{"br", ".br"},
	{"zstd", ".zst"},
	{"gzip", ".gz"},
}

// twin opens the precompressed form of a file that a client likes best, nil if there is none that it takes. varies says that other
// clients may get another form.
func (s *Site) twin(name string, info fs.FileInfo, accept []string) (best *form, varies bool) {
	weights := parseAccept(accept)
	identity := weights.of("identity", 0.0001) // the last choice, where nothing was said of it
	most := 0.0
	var bestName, coding string
	for _, t := range twins {
		other, err := s.root.Stat(name + t.suffix)
		if err != nil || !other.Mode().IsRegular() || other.ModTime().Before(info.ModTime()) {
			continue
		}
		varies = true
		if q := weights.of(t.coding, 0); q > most && q >= identity {
			most, bestName, coding = q, name+t.suffix, t.coding
		}
	}
	if bestName == "" {
		return nil, varies
	}
	best, err := s.open(bestName, coding)
	if err != nil {
		return nil, varies // it went since, or may not be read: the file itself is there
	}
	return best, varies
}

// weights are what an Accept-Encoding field says of codings (RFC 9110, section 12.5.3).
type weights map[string]float64

// of returns how much a client likes a coding, 0 if it does not take it; unsaid is for one that the field says nothing of.
func (w weights) of(coding string, unsaid float64) float64 {
	if q, ok := w[coding]; ok {
		return q
	}
	if q, ok := w["*"]; ok {
		return q
	}
	return unsaid
}

// parseAccept reads Accept-Encoding fields. What it cannot read counts as not accepted.
func parseAccept(fields []string) weights {
	w := weights{}
	for _, field := range fields {
		for item := range strings.SplitSeq(field, ",") {
			coding, params, _ := strings.Cut(item, ";")
			coding = strings.ToLower(strings.TrimSpace(coding))
			if coding == "x-gzip" {
				coding = "gzip"
			}
			if coding == "" {
				continue
			}
			w[coding] = weight(params)
		}
	}
	return w
}

// weight reads the parameter q (RFC 9110, section 12.4.2), 1 where there is none.
func weight(params string) float64 {
	name, value, _ := strings.Cut(params, "=")
	if strings.TrimSpace(params) == "" {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
