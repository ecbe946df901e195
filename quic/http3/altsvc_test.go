package http3

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseAltSvc(t *testing.T) {
	const day = 24 * 3600
	h3 := func(host string, port uint16, age int64, persist bool) altValue {
		return altValue{"h3", host, port, age, persist}
	}
	for _, tt := range []struct {
		in   string
		want []altValue
		ok   bool
	}{
		{in: `h3=":443"`, want: []altValue{h3("", 443, day, false)}, ok: true},
		{in: `h3=":443"; ma=3600; persist=1`, want: []altValue{h3("", 443, 3600, true)}, ok: true},
		{in: "h3=\":443\"\t;\tma=\"60\" ;persist=\"1\"", want: []altValue{h3("", 443, 60, true)}, ok: true},
		{in: `h3=":443";MA=7;Persist=1`, want: []altValue{h3("", 443, 7, true)}, ok: true},
		{in: `h3=":443";persist=0`, want: []altValue{h3("", 443, day, false)}, ok: true},
		{in: `h3=":443";unknown=x;other="a;b,c"`, want: []altValue{h3("", 443, day, false)}, ok: true},
		{in: `h3="alt.example.com:8443"`, want: []altValue{h3("alt.example.com", 8443, day, false)}, ok: true},
		{in: `h3="[2001:db8::1]:443"`, want: []altValue{h3("2001:db8::1", 443, day, false)}, ok: true},
		{in: `h3="192.0.2.1:1"`, want: []altValue{h3("192.0.2.1", 1, day, false)}, ok: true},
		{in: `h3=":44\3"`, want: []altValue{h3("", 443, day, false)}, ok: true},
		{in: `h2=":443", h3=":8443";ma=5,, h3-29=":1" ,`, ok: true,
			want: []altValue{{"h2", "", 443, day, false}, h3("", 8443, 5, false), {"h3-29", "", 1, day, false}}},
		{in: `w%3Dx%3Ay%23z="new.example.org:80"`, want: []altValue{{"w=x:y#z", "new.example.org", 80, day, false}}, ok: true},
		{in: `%683=":443"`, want: []altValue{h3("", 443, day, false)}, ok: true},
		{in: `h3=":443";ma=99999999999999999999`, want: []altValue{h3("", 443, maxAltSvcAge, false)}, ok: true},
		{in: `h3=":443";ma=0`, want: []altValue{h3("", 443, 0, false)}, ok: true},
		{in: `clear`, ok: true},
		{in: ` clear , `, ok: true},

		// What cannot be meant is left out, and the rest counts.
		{in: `h3=":0", h3=":65536", h3=":", h3="", h3="x", h3=":+1", h3=":443x", h3=":2"`, want: []altValue{h3("", 2, day, false)}, ok: true},
		{in: `h3="[::1:443", h3="[1.2.3.4]:1", h3="[fe80::1%25eth0]:1", h3="::1:443", h3="a b:1", h3="é:1", h3="a/b:1", h3=":2"`, want: []altValue{h3("", 2, day, false)}, ok: true},
		{in: `%zz=":443", %4=":443", %=":443", h3=":2"`, want: []altValue{h3("", 2, day, false)}, ok: true},
		{in: `h3=":443";ma=x, h3=":443";ma=-1, h3=":443";ma="", h3=":443";ma=1.5, h3=":2"`, want: []altValue{h3("", 2, day, false)}, ok: true},

		// What has not the form of the field is ignored altogether.
		{in: ``}, {in: `,`}, {in: `h3`}, {in: `h3=`}, {in: `h3=:443`}, {in: `="x:1"`}, {in: `h3=":443`}, {in: `h3=":443\`},
		{in: `h3=":443";`}, {in: `h3=":443";ma`}, {in: `h3=":443";ma=`}, {in: `h3=":443";=1`}, {in: `h3=":443" h3=":443"`},
		{in: `h3 =":443"`}, {in: `h3= ":443"`}, {in: `h3=":443", clear`}, {in: `Clear`}, {in: "h3=\":4\x0143\""}, {in: "h3=\":443\\\x7f\""},
		{in: `h3=":443", ` + strings.Repeat(`h3=":443",`, 1000)}, // longer than any that is meant
	} {
		got, ok := parseAltSvc(tt.in)
		if ok != tt.ok || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%.80q: %v, %v; want %v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

// What is older than the response says by its age holds for less long, and not at all if it is too old.
func TestAlternatives(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, tt := range []struct {
		header http.Header
		want   string
	}{
		{http.Header{}, "nothing"},
		{http.Header{"Alt-Svc": {"bad"}}, "nothing"},
		{http.Header{"Alt-Svc": {"clear"}}, "[]"},
		{http.Header{"Alt-Svc": {`h2=":443"`}}, "[]"}, // it takes the place of what was known
		{http.Header{"Alt-Svc": {`h3=":1";ma=100`, `h3="b:2"`}}, "[:1+100 b:2+86400]"},
		{http.Header{"Alt-Svc": {`h3=":1";ma=100, h3=":2";ma=50`}, "Age": {"50"}}, "[:1+50]"},
		{http.Header{"Alt-Svc": {`h3=":1";ma=100`}, "Age": {"nonsense"}}, "[:1+100]"},
		{http.Header{"Alt-Svc": {strings.Repeat(`h3=":1",`, 100)}}, "[" + strings.TrimSpace(strings.Repeat(":1+86400 ", maxAlternatives)) + "]"},
	} {
		alts, told := alternatives(tt.header, now)
		got := "nothing"
		if told {
			got = "["
			for i, a := range alts {
				if i > 0 {
					got += " "
				}
				got += fmt.Sprintf("%s:%d+%d", a.Host, a.Port, a.Expires.Unix()-now.Unix())
			}
			got += "]"
		}
		if got != tt.want {
			t.Errorf("%v: %s, want %s", tt.header, got, tt.want)
		}
	}
}

// No value of the field breaks the parser, and what it takes has the form that the rest relies on.
func FuzzAltSvc(f *testing.F) {
	for _, s := range []string{`h3=":443"; ma=3600; persist=1, h2="alt:80"`, `clear`, `w%3Dx="[::1]:1"`, `h3=":4\43";x="a\"b"`, `,,`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, ok := parseAltSvc(s)
		if !ok && values != nil {
			t.Fatalf("%q is malformed, and yet means %v", s, values)
		}
		for _, v := range values {
			if v.port == 0 || v.maxAge < 0 || v.maxAge > maxAltSvcAge || strings.ContainsAny(v.host, "[]/@ \"") {
				t.Fatalf("%q means %+v", s, v)
			}
			if strings.Contains(v.protocol, `"`) && !strings.Contains(s, "%22") {
				t.Fatalf("%q means %+v", s, v)
			}
		}
	})
}
