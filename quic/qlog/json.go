package qlog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// encoder appends JSON. Names are ours, and need no escaping.
type encoder struct {
	b []byte
}

// record begins a record of a JSON text sequence (RFC 7464), which end ends.
func (e *encoder) record() { e.b = append(e.b, 0x1e, '{') }
func (e *encoder) end()    { e.b = append(e.b, '}', '\n') }

// next puts a comma behind what stands before, if there is anything.
func (e *encoder) next() {
	switch e.b[len(e.b)-1] {
	case '{', '[', ':':
	default:
		e.b = append(e.b, ',')
	}
}

func (e *encoder) key(name string) {
	e.next()
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

// open begins an object, which close ends; without a name it is an element of a list.
func (e *encoder) open(name string) {
	if name == "" {
		e.next()
	} else {
		e.key(name)
	}
	e.b = append(e.b, '{')
}

func (e *encoder) close() { e.b = append(e.b, '}') }

func (e *encoder) list(name string) {
	e.key(name)
	e.b = append(e.b, '[')
}

func (e *encoder) endList() { e.b = append(e.b, ']') }

func (e *encoder) uint(name string, v uint64) {
	e.key(name)
	e.b = strconv.AppendUint(e.b, v, 10)
}

// some is uint for a number of which 0 stands for none.
func (e *encoder) some(name string, v uint64) {
	if v != 0 {
		e.uint(name, v)
	}
}

func (e *encoder) bool(name string, v bool) {
	e.key(name)
	e.b = strconv.AppendBool(e.b, v)
}

// ms writes a time in milliseconds, to the nanosecond.
func (e *encoder) ms(name string, d time.Duration) {
	e.key(name)
	d = max(d, 0)
	e.b = strconv.AppendInt(e.b, int64(d/time.Millisecond), 10)
	if rest := d % time.Millisecond; rest > 0 {
		e.b = append(e.b, '.')
		for unit := time.Millisecond / 10; rest > 0; unit /= 10 {
			e.b = append(e.b, '0'+byte(rest/unit))
			rest %= unit
		}
	}
}

func (e *encoder) text(name, v string) {
	e.key(name)
	e.string(v)
}

func (e *encoder) optional(name, v string) {
	if v != "" {
		e.text(name, v)
	}
}

func (e *encoder) item(v string) {
	e.next()
	e.string(v)
}

const hexDigits = "0123456789abcdef"

func (e *encoder) hex(name string, v []byte) {
	e.key(name)
	e.hexValue(v)
}

func (e *encoder) hexValue(v []byte) {
	e.b = append(e.b, '"')
	for _, x := range v {
		e.b = append(e.b, hexDigits[x>>4], hexDigits[x&15])
	}
	e.b = append(e.b, '"')
}

// version writes a QUIC version in hexadecimal.
func (e *encoder) version(name string, v uint32) {
	e.key(name)
	e.versionValue(v)
}

func (e *encoder) versionValue(v uint32) {
	e.b = append(e.b, '"')
	e.b = strconv.AppendUint(e.b, uint64(v), 16)
	e.b = append(e.b, '"')
}

// string appends a text, of MaxText bytes at most, with all escaped that is not plain: control characters, quotes, what is no UTF-8, and what ends lines
// elsewhere.
func (e *encoder) string(s string) {
	e.b = append(e.b, '"')
	for i := 0; i < len(s) && i < MaxText; {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == '"' || r == '\\':
			e.b = append(e.b, '\\', byte(r))
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029:
			e.b = append(e.b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			e.b = utf8.AppendRune(e.b, r) // U+FFFD for what is no UTF-8
		}
	}
	e.b = append(e.b, '"')
}

// number appends a number to a list.
func (e *encoder) number(v uint64) {
	e.next()
	e.b = strconv.AppendUint(e.b, v, 10)
}
