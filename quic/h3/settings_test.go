package h3

import (
	"bytes"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

func appendPairs(ids ...uint64) []byte {
	var b []byte
	for _, v := range ids {
		b = wire.AppendVarint(b, v)
	}
	return b
}

func TestParseSettings(t *testing.T) {
	many := make([]uint64, 0, 2*(maxSettings+1))
	for i := range uint64(maxSettings + 1) {
		many = append(many, 0x4000+i, 1)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want ErrorCode
	}{
		{"empty", nil, 0},
		{"all of ours", appendPairs(1, 4096, 6, 100, 7, 16, 8, 1, 0x33, 1), 0},
		{"unknown and reserved ones are ignored", appendPairs(0x4242, 7, reserved(3), 9), 0},
		{"HTTP/2's 0x00", appendPairs(0, 1), ErrCodeSettings},
		{"HTTP/2's 0x02", appendPairs(2, 1), ErrCodeSettings},
		{"HTTP/2's 0x03", appendPairs(3, 1), ErrCodeSettings},
		{"HTTP/2's 0x04", appendPairs(4, 1), ErrCodeSettings},
		{"HTTP/2's 0x05", appendPairs(5, 1), ErrCodeSettings},
		{"twice", appendPairs(1, 4096, 1, 4096), ErrCodeSettings},
		{"an unknown one twice", appendPairs(0x4242, 1, 6, 1, 0x4242, 1), ErrCodeSettings},
		{"extended CONNECT 2", appendPairs(8, 2), ErrCodeSettings},
		{"datagrams 2", appendPairs(0x33, 2), ErrCodeSettings},
		{"no value", appendPairs(1, 4096, 6), ErrCodeFrame},
		{"half an integer", []byte{0x40}, ErrCodeFrame},
		{"too many", appendPairs(many...), ErrCodeExcessiveLoad},
	} {
		_, err := parseSettings(c.in)
		if got := codeOf(err); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func codeOf(err *connError) ErrorCode {
	if err == nil {
		return 0
	}
	return err.code
}

func TestRememberedSettings(t *testing.T) {
	s := Settings{MaxFieldSectionSize: 1000, QPACKTableCapacity: 4096, QPACKBlockedStreams: 16, EnableConnect: true, H3Datagram: true,
		Other: []Setting{{0x4242, 7}}}
	got, ok := recall(s.remember())
	if !ok || !bytes.Equal(got.append(nil), s.append(nil)) {
		t.Fatalf("recall(remember(%v)) = %v, %v", s, got, ok)
	}
	most := []byte(nil) // none of which is one that remember would write anyway
	for i := range uint64(maxSettings) {
		most = appendSetting(most, 0x22+0x1f*i, i) // none is for greasing
	}
	if s, err := parseSettings(most); err != nil {
		t.Error(err)
	} else if got, ok := recall(s.remember()); !ok || !bytes.Equal(got.append(nil), s.append(nil)) {
		t.Errorf("of as many settings as may come %d are recalled, %v", len(got.Other), ok)
	}
	for _, bad := range []string{"", "h3", "h3\x02", "h3\x01\x02\x01", "something else"} {
		if _, ok := recall([]byte(bad)); ok {
			t.Errorf("%q was recalled", bad)
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Settings)
		want   ErrorCode
	}{
		{"the same", func(s *Settings) {}, 0},
		{"more", func(s *Settings) { s.MaxFieldSectionSize++; s.QPACKBlockedStreams++ }, 0},
		{"another capacity", func(s *Settings) { s.QPACKTableCapacity++ }, ErrCodeDecoderStream},
		{"fewer blocked streams", func(s *Settings) { s.QPACKBlockedStreams-- }, ErrCodeSettings},
		{"smaller sections", func(s *Settings) { s.MaxFieldSectionSize-- }, ErrCodeSettings},
		{"no CONNECT", func(s *Settings) { s.EnableConnect = false }, ErrCodeSettings},
		{"no datagrams", func(s *Settings) { s.H3Datagram = false }, ErrCodeSettings},
	} {
		now := s
		c.change(&now)
		if got := codeOf(now.lowered(&s)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string // a part of the error; empty: none
	}{
		{Config{}, ""},
		{Config{MaxFieldSectionSize: 1 << 30}, "MaxFieldSectionSize"},
		{Config{QPACKTableCapacity: 2 << 20}, "QPACKTableCapacity"},
		{Config{QPACKBlockedStreams: 1 << 20}, "QPACKBlockedStreams"},
		{Config{EncoderTableCapacity: 2 << 20}, "EncoderTableCapacity"},
		{Config{HeaderTimeout: -1}, "HeaderTimeout"},
		{Config{AdditionalSettings: []Setting{{0x2b603742, 1}}}, ""},
		{Config{AdditionalSettings: []Setting{{8, 1}}}, "0x8"},
		{Config{AdditionalSettings: []Setting{{2, 1}}}, "0x2"},
		{Config{AdditionalSettings: []Setting{{0x99, 1}, {0x99, 2}}}, "twice"},
		{Config{AdditionalSettings: []Setting{{1 << 62, 1}}}, "2^62"},
		{Config{AdditionalSettings: make([]Setting, 33)}, "at most 32"},
		{Config{Origins: []string{"https://example.org", "https://example.org:8443"}}, ""},
		{Config{Origins: []string{"example.org"}}, "not an origin"},
		{Config{Origins: []string{"https://example.org/"}}, "not an origin"},
		{Config{Origins: []string{"https://" + strings.Repeat("a", 16<<10)}}, "at most"},
	} {
		err := c.cfg.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Check of %+v: %v, want %q", c.cfg, err, c.want)
		}
	}
	r, err := (&Config{QPACKTableCapacity: -1}).Prepare()
	if err != nil || r.QPACKTableCapacity != 0 || r.QPACKBlockedStreams != 100 || r.MaxFieldSectionSize != 64<<10 {
		t.Errorf("Prepare: %+v, %v", r, err)
	}
}

// What a server that accepts 0-RTT data may say now in place of what it had said, for each setting: nothing lower, and none left out that was there with
// a value of its own, whatever leaving it out means (RFC 9114, section 7.2.4.2; RFC 9204, section 3.2.3).
func TestSettingsBehindEarlyData(t *testing.T) {
	const none = 1<<64 - 1
	for _, c := range []struct {
		id, before, after uint64
		want              ErrorCode
	}{
		{SettingMaxFieldSectionSize, none, none, 0},
		{SettingMaxFieldSectionSize, 1000, 1000, 0},
		{SettingMaxFieldSectionSize, 1000, 1001, 0},
		{SettingMaxFieldSectionSize, 1000, 999, ErrCodeSettings},
		{SettingMaxFieldSectionSize, none, 1 << 60, ErrCodeSettings},
		{SettingMaxFieldSectionSize, 1000, none, ErrCodeSettings},
		{SettingMaxFieldSectionSize, 0, none, ErrCodeSettings},
		{SettingQPACKBlockedStreams, none, 7, 0},
		{SettingQPACKBlockedStreams, 7, 1<<62 - 1, 0},
		{SettingQPACKBlockedStreams, 7, 6, ErrCodeSettings},
		{SettingQPACKBlockedStreams, 7, none, ErrCodeSettings},
		{SettingQPACKBlockedStreams, 0, none, 0},
		{SettingQPACKTableCapacity, none, 7, 0},
		{SettingQPACKTableCapacity, 0, 1<<62 - 1, 0},
		{SettingQPACKTableCapacity, 7, 8, ErrCodeDecoderStream},
		{SettingQPACKTableCapacity, 7, 6, ErrCodeDecoderStream},
		{SettingQPACKTableCapacity, 7, none, ErrCodeDecoderStream},
		{SettingEnableConnect, none, 1, 0},
		{SettingEnableConnect, 1, 0, ErrCodeSettings},
		{SettingEnableConnect, 1, none, ErrCodeSettings},
		{SettingEnableConnect, 0, none, 0},
		{SettingH3Datagram, 0, 1, 0},
		{SettingH3Datagram, 1, 0, ErrCodeSettings},
		{SettingH3Datagram, 1, none, ErrCodeSettings},
	} {
		with := func(v uint64) Settings {
			var p []byte
			if v != none {
				p = appendSetting(nil, c.id, v)
			}
			s, err := parseSettings(p)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first, after := with(c.before), with(c.after)
		before, ok := recall(first.remember())
		if !ok {
			t.Fatal("the settings are not recalled")
		}
		got := ErrorCode(0)
		if e := after.lowered(&before); e != nil {
			got = e.code
		}
		if got != c.want {
			t.Errorf("setting 0x%x from %d to %d: %v, want %v", c.id, int64(c.before), int64(c.after), got, c.want)
		}
	}
}
