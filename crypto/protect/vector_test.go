package protect

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newKeys(t testing.TB) *Keys {
	k := NewKeys()
	t.Cleanup(k.Release)
	return k
}

func wantHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s = %x, want %s", what, got, want)
	}
}

// RFC 9001, appendix A.1: every label of the Initial keys.
func TestVectorLabels(t *testing.T) {
	client := unhex(t, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea")
	server := unhex(t, "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b")
	initial := unhex(t, "7db5df06e7a69e432496adedb00851923595221596ae2ae9fb8115c1e9ed0a44")
	chacha := unhex(t, vectorChaChaSecret)
	for _, c := range []struct {
		name   string
		secret []byte
		label  string
		want   string
	}{
		{"client secret", initial, "client in", hex.EncodeToString(client)},
		{"server secret", initial, "server in", hex.EncodeToString(server)},
		{"client key", client, "quic key", "1f369613dd76d5467730efcbe3b1a22d"},
		{"client iv", client, "quic iv", "fa044b2f42a3fd3b46fb255c"},
		{"client hp", client, "quic hp", "9f50449e04a0e810283a1e9933adedd2"},
		{"server key", server, "quic key", "cf3a5331653c364c88f0f379b6067e37"},
		{"server iv", server, "quic iv", "0ac1493ca1905853b0bba03e"},
		{"server hp", server, "quic hp", "c206b8d9b9f0f37644430b490eeaa314"},
		{"A.5 key", chacha, "quic key", "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"},
		{"A.5 iv", chacha, "quic iv", "e0459b3474bdd0e44a41c144"},
		{"A.5 hp", chacha, "quic hp", "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"},
		{"A.5 ku", chacha, "quic ku", vectorChaChaUpdate},
	} {
		wantHex(t, c.name, ExpandLabel(crypto.SHA256, c.secret, c.label, nil, len(c.want)/2), c.want)
	}
}

func clientInitial(t testing.TB) (plain, packet []byte) {
	plain = append(unhex(t, vectorClientHeader), unhex(t, vectorClientCrypto)...)
	plain = append(plain, make([]byte, 1200-len(plain))...)
	return plain, unhex(t, vectorClientPacket)
}

// RFC 9001, appendices A.2, A.3 and A.5: sealed by one side, opened by the other.
func TestVectorPackets(t *testing.T) {
	initialKeys := func(client bool) func(t *testing.T) *Keys {
		return func(t *testing.T) *Keys {
			k := newKeys(t)
			if err := k.InstallInitial(version1, unhex(t, vectorDCID), client); err != nil {
				t.Fatal(err)
			}
			return k
		}
	}
	chachaKeys := func(t *testing.T) *Keys {
		k := newKeys(t)
		if err := k.InstallWrite(OneRTT, ChaCha20Poly1305SHA256, unhex(t, vectorChaChaSecret)); err != nil {
			t.Fatal(err)
		}
		if err := k.InstallRead(OneRTT, ChaCha20Poly1305SHA256, unhex(t, vectorChaChaSecret)); err != nil {
			t.Fatal(err)
		}
		return k
	}
	clientPlain, clientPacket := clientInitial(t)
	serverPlain := append(unhex(t, vectorServerHeader), unhex(t, vectorServerPayload)...)
	for _, c := range []struct {
		name           string
		sealer, opener func(*testing.T) *Keys
		plain, packet  []byte // plain without room for the tag
		slot           Slot
		pnOff          uint16
		pnLen          uint8
		pn, largest    int64
	}{
		{"A.2 client Initial", initialKeys(true), initialKeys(false), clientPlain[:1200-Overhead], clientPacket,
			Initial, 18, 4, 2, -1},
		{"A.3 server Initial", initialKeys(false), initialKeys(true), serverPlain, unhex(t, vectorServerPacket),
			Initial, 18, 2, 1, 0},
		{"A.5 ChaCha20 short header", chachaKeys, chachaKeys, unhex(t, "4200bff401"), unhex(t, vectorChaChaPacket),
			OneRTT, 1, 3, 654360564, 654360563},
	} {
		t.Run(c.name, func(t *testing.T) {
			buf := append(bytes.Clone(c.plain), make([]byte, Overhead)...)
			seal := []SealDesc{{Len: uint32(len(buf)), PNOff: c.pnOff, PNLen: c.pnLen, PN: c.pn, Slot: c.slot}}
			if !c.sealer(t).Seal(buf, seal) {
				t.Fatal("Seal refused")
			}
			wantHex(t, "sealed packet", buf, hex.EncodeToString(c.packet))

			open := []OpenDesc{{Len: uint32(len(buf)), PNOff: c.pnOff, Slot: c.slot, Largest: c.largest}}
			c.opener(t).Open(buf, open)
			d := open[0]
			if d.Status != Opened || d.PN != c.pn || d.PNLen != c.pnLen || d.First != c.plain[0] || d.Gen != 0 {
				t.Fatalf("Open: %+v", d)
			}
			wantHex(t, "opened packet", buf[:len(c.plain)], hex.EncodeToString(c.plain))
		})
	}
}

// RFC 9001, appendix A.4.
func TestVectorRetry(t *testing.T) {
	packet := unhex(t, vectorRetryPacket)
	body := packet[:len(packet)-16]
	tag, err := RetryTag(version1, unhex(t, vectorDCID), body)
	if err != nil {
		t.Fatal(err)
	}
	wantHex(t, "tag", tag[:], vectorRetryPacket[2*len(body):])
	if _, err := RetryTag(2, nil, body); err == nil {
		t.Error("RetryTag took version 2")
	}
	if _, err := RetryTag(version1, make([]byte, 21), body); err == nil {
		t.Error("RetryTag took a connection ID of 21 bytes")
	}
	if tag, err = RetryTag(version1, nil, make([]byte, 70000)); err != nil || tag == [16]byte{} {
		t.Errorf("RetryTag of a long packet: %x, %v", tag, err)
	}
}

// RFC 9001, section 6.1, with the updated secret of appendix A.5: a packet of generation 1 is sealed as one of a
// connection that has the updated secret from the start, but for the header-protection key, which never changes.
func TestVectorKeyUpdate(t *testing.T) {
	seal := func(secret string, updates int) []byte {
		k := newKeys(t)
		if err := k.InstallWrite(OneRTT, ChaCha20Poly1305SHA256, unhex(t, secret)); err != nil {
			t.Fatal(err)
		}
		for range updates {
			if err := k.AdvanceWrite(); err != nil {
				t.Fatal(err)
			}
		}
		buf := append(unhex(t, "4600bff401020304"), make([]byte, Overhead)...)
		if !k.Seal(buf, []SealDesc{{Len: uint32(len(buf)), PNOff: 1, PNLen: 3, PN: 654360564, Slot: OneRTT,
			Gen: k.WriteGen()}}) {
			t.Fatal("Seal refused")
		}
		return buf[4:]
	}
	if updated, fresh := seal(vectorChaChaSecret, 1), seal(vectorChaChaUpdate, 0); !bytes.Equal(updated, fresh) {
		t.Errorf("sealed after an update %x, with the updated secret %x", updated, fresh)
	}
}
