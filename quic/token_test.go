package quic

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func testTokens(t testing.TB, key byte) *tokens {
	t.Helper()
	k, random := new(tokens), rand.NewChaCha8([32]byte{9})
	if err := k.init(&[32]byte{key}, time.Second, func(p []byte) bool { _, err := random.Read(p); return err == nil }); err != nil {
		t.Fatal(err)
	}
	return k
}

func mustID(t testing.TB, b string) *ConnID {
	t.Helper()
	id, ok := MakeConnID([]byte(b))
	if !ok {
		t.Fatalf("%q is no connection ID", b)
	}
	return &id
}

// Attack B5: what a token must be to count, bit for bit, and of which kind it is taken for if it does not.
func TestAttackB5Token(t *testing.T) {
	now := scriptedEpoch
	k := testTokens(t, 1)
	dst, id := mustID(t, "first-dcid"), mustID(t, "retry-id")
	retry := bytes.Clone(k.makeRetry(now, Version1, clientHost, dst, id))
	later := k.makeNew(now, Version1, clientHost)
	if len(retry) != retryTokenLen || len(later) != newTokenLen {
		t.Fatalf("tokens of %d and %d bytes, want %d and %d", len(retry), len(later), retryTokenLen, newTokenLen)
	}
	check := func(name string, token []byte, want tokenKind) {
		t.Helper()
		before := bytes.Clone(token)
		if v := k.check(now, Version1, token, clientHost, id); v.kind != want || want == retryToken && v.origDst != *dst {
			t.Errorf("%s: %x, %v; want %x", name, v.kind, v.origDst, want)
		}
		if !bytes.Equal(token, before) {
			t.Errorf("%s: the token was changed", name)
		}
	}
	check("Retry", retry, retryToken)
	check("NEW_TOKEN", later, newTokenToken)
	for bit := range len(retry) * 8 {
		b := bytes.Clone(retry)
		b[bit/8] ^= 1 << (bit % 8)
		want := badRetryToken
		if bit < 8 {
			want = noToken // then it does not say that it is a Retry token
		}
		check("Retry with a flipped bit", b, want)
	}
	for bit := range len(later) * 8 {
		b := bytes.Clone(later)
		b[bit/8] ^= 1 << (bit % 8)
		check("NEW_TOKEN with a flipped bit", b, noToken)
	}
	for n := range len(retry) {
		check("Retry cut short", retry[:n], noToken)
		check("NEW_TOKEN cut short", later[:min(n, newTokenLen-1)], noToken)
	}
	check("Retry with a byte more", append(bytes.Clone(retry), 0), noToken)
	check("NEW_TOKEN with a byte more", append(bytes.Clone(later), 0), noToken)
	check("of the greatest length", make([]byte, 65535), noToken)
	swapped := append([]byte{byte(newTokenToken)}, retry[1:newTokenLen]...)
	check("one kind for the other", swapped, noToken)

	other := testTokens(t, 2)
	check("another server's Retry", other.makeRetry(now, Version1, clientHost, dst, id), badRetryToken)
	check("another server's NEW_TOKEN", other.makeNew(now, Version1, clientHost), noToken)
	same := testTokens(t, 1)
	check("Retry of a server with the same key", same.makeRetry(now, Version1, clientHost, dst, id), retryToken)
	check("NEW_TOKEN of a server with the same key", same.makeNew(now, Version1, clientHost), newTokenToken)
}

// What a token is bound to, and until when it is good; attack B6.
func TestAttackB6TokenBinding(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")
	mapped := netip.AddrFrom16(v4.As16())
	dst, id, other := mustID(t, "12345678901234567890"), mustID(t, "retry-id"), mustID(t, "retry-i")
	for _, c := range []struct {
		name       string
		from       netip.AddrPort
		id         *ConnID
		age        time.Duration
		retry, new bool
	}{
		{"as it was made", netip.AddrPortFrom(v4, 1000), id, 0, true, true},
		{"IPv4 in IPv6, the same address", netip.AddrPortFrom(mapped, 1000), id, 0, true, true},
		{"another port", netip.AddrPortFrom(v4, 1001), id, 0, false, true},
		{"another address", netip.AddrPortFrom(v4.Next(), 1000), id, 0, false, false},
		{"another family", netip.AddrPortFrom(v6, 1000), id, 0, false, false},
		{"another connection ID", netip.AddrPortFrom(v4, 1000), other, 0, false, true},
		{"10 s", netip.AddrPortFrom(v4, 1000), id, 10 * time.Second, true, true},
		{"more than 10 s", netip.AddrPortFrom(v4, 1000), id, 10*time.Second + time.Millisecond, false, true},
		{"a day", netip.AddrPortFrom(v4, 1000), id, 24 * time.Hour, false, true},
		{"more than a day", netip.AddrPortFrom(v4, 1000), id, 24*time.Hour + time.Millisecond, false, false},
		{"from a clock a little ahead", netip.AddrPortFrom(v4, 1000), id, -tokenClockSkew, true, true},
		{"from the future", netip.AddrPortFrom(v4, 1000), id, -tokenClockSkew - time.Millisecond, false, false},
		{"from an age to come", netip.AddrPortFrom(v4, 1000), id, -200 * 365 * 24 * time.Hour, false, false},
	} {
		k := testTokens(t, 1)
		made := netip.AddrPortFrom(v4, 1000)
		now := scriptedEpoch.Add(c.age)
		r := k.check(now, Version1, k.makeRetry(scriptedEpoch, Version1, made, dst, id), c.from, c.id)
		if want := badRetryToken; c.retry && (r.kind != retryToken || r.origDst != *dst) || !c.retry && r.kind != want {
			t.Errorf("%s: the Retry token is %x", c.name, r.kind)
		}
		if v := k.check(now, Version1, k.makeNew(scriptedEpoch, Version1, made), c.from, c.id); (v.kind == newTokenToken) != c.new {
			t.Errorf("%s: the NEW_TOKEN token is %x", c.name, v.kind)
		}
	}
}

// Nothing in a token but its kind can be read, and no two are alike: clients cannot be followed by them (RFC 9000, section 8.1.3).
func TestTokenOpaque(t *testing.T) {
	k := testTokens(t, 1)
	dst, id := mustID(t, "first-dcid"), mustID(t, "retry-id")
	a := bytes.Clone(k.makeRetry(scriptedEpoch, Version1, clientHost, dst, id))
	b := bytes.Clone(k.makeRetry(scriptedEpoch, Version1, clientHost, dst, id))
	same := 0
	for i := range a[1:] {
		if a[1+i] == b[1+i] {
			same++
		}
	}
	if same > len(a)/8 {
		t.Errorf("two tokens have %d of %d bytes in common", same, len(a))
	}
	if bytes.Contains(a, dst.Bytes()[:4]) {
		t.Error("the connection ID is legible")
	}
	k.random = func([]byte) bool { return false }
	if k.makeRetry(scriptedEpoch, Version1, clientHost, dst, id) != nil || k.makeNew(scriptedEpoch, Version1, clientHost) != nil {
		t.Error("a token without randomness")
	}
}

// The memory of used tokens is bounded, and forgets the oldest.
func TestSeenTokens(t *testing.T) {
	k := testTokens(t, 1)
	id := mustID(t, "")
	use := func(token []byte) bool {
		v := k.check(scriptedEpoch, Version1, token, clientHost, id)
		k.use(&v)
		return v.kind == newTokenToken
	}
	var made [][]byte
	for range maxSeenTokens + 10 {
		token := k.makeNew(scriptedEpoch, Version1, clientHost)
		made = append(made, token)
		if !use(token) {
			t.Fatal("a fresh token does not count")
		}
		if use(token) {
			t.Fatal("a token counts twice")
		}
	}
	if len(k.seen.set) != maxSeenTokens || len(k.seen.ring) != maxSeenTokens {
		t.Errorf("%d and %d tokens are remembered, want %d", len(k.seen.set), len(k.seen.ring), maxSeenTokens)
	}
	for i, token := range made {
		if v := k.check(scriptedEpoch, Version1, token, clientHost, id); (v.kind == newTokenToken) != (i < 10) {
			t.Fatalf("token %d of %d counts: %v", i, len(made), v.kind == newTokenToken)
		}
	}
	k.use(&tokenVerdict{kind: retryToken})
	if k.seen.has([tokenNonceLen]byte{}) {
		t.Error("a Retry token takes room among the tokens of NEW_TOKEN")
	}
}

func FuzzToken(f *testing.F) {
	k := testTokens(f, 1)
	dst, id := mustID(f, "first-dcid"), mustID(f, "retry-id")
	f.Add([]byte{}, []byte("retry-id"))
	f.Add(bytes.Clone(k.makeRetry(scriptedEpoch, Version1, clientHost, dst, id)), id.Bytes())
	f.Add(k.makeNew(scriptedEpoch, Version1, clientHost), id.Bytes())
	f.Add(append([]byte{byte(retryToken)}, make([]byte, retryTokenLen-1)...), []byte{})
	f.Add(append([]byte{byte(newTokenToken)}, make([]byte, newTokenLen-1)...), []byte("12345678901234567890"))
	f.Fuzz(func(t *testing.T, token, to []byte) {
		id, _ := MakeConnID(to)
		k := testTokens(t, 3) // whose key the tokens were not made with
		if v := k.check(scriptedEpoch, Version1, token, clientHost, &id); v.kind == retryToken || v.kind == newTokenToken {
			t.Fatalf("%x counts", token)
		}
		// And what it makes itself comes back whole.
		made := k.makeRetry(scriptedEpoch, Version1, clientHost, &id, &id)
		if v := k.check(scriptedEpoch, Version1, made, clientHost, &id); v.kind != retryToken || v.origDst != id {
			t.Fatalf("its own token for %v counts as %x for %v", id, v.kind, v.origDst)
		}
	})
}
