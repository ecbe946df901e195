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

// RFC 9001 and RFC 9369, appendices A.1 and A.5: every label.
func TestVectorLabels(t *testing.T) {
	client := unhex(t, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea")
	server := unhex(t, "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b")
	initial := unhex(t, "7db5df06e7a69e432496adedb00851923595221596ae2ae9fb8115c1e9ed0a44")
	chacha := unhex(t, vectorChaChaSecret)
	clientV2 := unhex(t, "14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b")
	serverV2 := unhex(t, "0263db1782731bf4588e7e4d93b7463907cb8cd8200b5da55a8bd488eafc37c1")
	initialV2 := unhex(t, "2062e8b3cd8d52092614b8071d0aa1fb7c2e3ac193f78b280e72d8f5751f6aba")
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
		{"v2 client secret", initialV2, "client in", hex.EncodeToString(clientV2)},
		{"v2 server secret", initialV2, "server in", hex.EncodeToString(serverV2)},
		{"v2 client key", clientV2, "quicv2 key", "8b1a0bc121284290a29e0971b5cd045d"},
		{"v2 client iv", clientV2, "quicv2 iv", "91f73e2351d8fa91660e909f"},
		{"v2 client hp", clientV2, "quicv2 hp", "45b95e15235d6f45a6b19cbcb0294ba9"},
		{"v2 server key", serverV2, "quicv2 key", "82db637861d55e1d011f19ea71d5d2a7"},
		{"v2 server iv", serverV2, "quicv2 iv", "dd13c276499c0249d3310652"},
		{"v2 server hp", serverV2, "quicv2 hp", "edf6d05c83121201b436e16877593c3a"},
		{"v2 A.5 key", chacha, "quicv2 key", "3bfcddd72bcf02541d7fa0dd1f5f9eeea817e09a6963a0e6c7df0f9a1bab90f2"},
		{"v2 A.5 iv", chacha, "quicv2 iv", "a6b5bc6ab7dafce30ffff5dd"},
		{"v2 A.5 hp", chacha, "quicv2 hp", "d659760d2ba434a226fd37b35c69e2da8211d10c4f12538787d65645d5d1b8e2"},
		{"v2 A.5 ku", chacha, "quicv2 ku", vectorChaChaUpdateV2},
	} {
		wantHex(t, c.name, ExpandLabel(crypto.SHA256, c.secret, c.label, nil, len(c.want)/2), c.want)
	}
}

func clientInitial(t testing.TB) (plain, packet []byte) {
	plain = append(unhex(t, vectorClientHeader), unhex(t, vectorClientCrypto)...)
	plain = append(plain, make([]byte, 1200-len(plain))...)
	return plain, unhex(t, vectorClientPacket)
}

func clientInitialV2(t testing.TB) (plain, packet []byte) {
	plain, _ = clientInitial(t)
	copy(plain, unhex(t, vectorClientHeaderV2))
	return plain, unhex(t, vectorClientPacketV2)
}

// RFC 9001 and RFC 9369, appendices A.2, A.3 and A.5: sealed by one side, opened by the other.
func TestVectorPackets(t *testing.T) {
	initialKeys := func(version uint32, client bool) func(t *testing.T) *Keys {
		return func(t *testing.T) *Keys {
			k := newKeys(t)
			if err := k.InstallInitial(version, unhex(t, vectorDCID), client); err != nil {
				t.Fatal(err)
			}
			return k
		}
	}
	chachaKeys := func(version uint32) func(t *testing.T) *Keys {
		return func(t *testing.T) *Keys {
			k := newKeys(t)
			if err := k.SetVersion(version); err != nil {
				t.Fatal(err)
			}
			if err := k.InstallWrite(OneRTT, ChaCha20Poly1305SHA256, unhex(t, vectorChaChaSecret)); err != nil {
				t.Fatal(err)
			}
			if err := k.InstallRead(OneRTT, ChaCha20Poly1305SHA256, unhex(t, vectorChaChaSecret)); err != nil {
				t.Fatal(err)
			}
			return k
		}
	}
	clientPlain, clientPacket := clientInitial(t)
	serverPlain := append(unhex(t, vectorServerHeader), unhex(t, vectorServerPayload)...)
	clientPlainV2, clientPacketV2 := clientInitialV2(t)
	serverPlainV2 := append(unhex(t, vectorServerHeaderV2), unhex(t, vectorServerPayload)...)
	for _, c := range []struct {
		name           string
		sealer, opener func(*testing.T) *Keys
		plain, packet  []byte // plain without room for the tag
		slot           Slot
		pnOff          uint16
		pnLen          uint8
		pn, largest    int64
	}{
		{"A.2 client Initial", initialKeys(version1, true), initialKeys(version1, false), clientPlain[:1200-Overhead], clientPacket,
			Initial, 18, 4, 2, -1},
		{"A.3 server Initial", initialKeys(version1, false), initialKeys(version1, true), serverPlain, unhex(t, vectorServerPacket),
			Initial, 18, 2, 1, 0},
		{"A.5 ChaCha20 short header", chachaKeys(version1), chachaKeys(version1), unhex(t, "4200bff401"), unhex(t, vectorChaChaPacket),
			OneRTT, 1, 3, 654360564, 654360563},
		{"version 2, A.2 client Initial", initialKeys(version2, true), initialKeys(version2, false), clientPlainV2[:1200-Overhead],
			clientPacketV2, Initial, 18, 4, 2, -1},
		{"version 2, A.3 server Initial", initialKeys(version2, false), initialKeys(version2, true), serverPlainV2,
			unhex(t, vectorServerPacketV2), Initial, 18, 2, 1, 0},
		{"version 2, A.5 ChaCha20 short header", chachaKeys(version2), chachaKeys(version2), unhex(t, "4200bff401"),
			unhex(t, vectorChaChaPacketV2), OneRTT, 1, 3, 654360564, 654360563},
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

// RFC 9001 and RFC 9369, appendices A.4.
func TestVectorRetry(t *testing.T) {
	var body []byte
	for version, sample := range map[uint32]string{version1: vectorRetryPacket, version2: vectorRetryPacketV2} {
		packet := unhex(t, sample)
		body = packet[:len(packet)-16]
		tag, err := RetryTag(version, unhex(t, vectorDCID), body)
		if err != nil {
			t.Fatal(err)
		}
		wantHex(t, "tag", tag[:], sample[2*len(body):])
	}
	if _, err := RetryTag(2, nil, body); err == nil {
		t.Error("RetryTag took version 2")
	}
	if _, err := RetryTag(version1, make([]byte, 21), body); err == nil {
		t.Error("RetryTag took a connection ID of 21 bytes")
	}
	if tag, err := RetryTag(version1, nil, make([]byte, 70000)); err != nil || tag == [16]byte{} {
		t.Errorf("RetryTag of a long packet: %x, %v", tag, err)
	}
}

// RFC 9001, section 6.1, with the updated secrets of appendices A.5 of RFC 9001 and RFC 9369: a packet of generation 1 is sealed as one of a
// connection that has the updated secret from the start, but for the header-protection key, which never changes.
func TestVectorKeyUpdate(t *testing.T) {
	seal := func(version uint32, secret string, updates int) []byte {
		k := newKeys(t)
		if err := k.SetVersion(version); err != nil {
			t.Fatal(err)
		}
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
	for version, update := range map[uint32]string{version1: vectorChaChaUpdate, version2: vectorChaChaUpdateV2} {
		if updated, fresh := seal(version, vectorChaChaSecret, 1), seal(version, update, 0); !bytes.Equal(updated, fresh) {
			t.Errorf("version %#x: sealed after an update %x, with the updated secret %x", version, updated, fresh)
		}
	}
}

// A read key follows an update with the label of its version, too; and no other version has labels.
func TestVersionOfUpdate(t *testing.T) {
	for _, version := range []uint32{version1, version2} {
		send, recv := newKeys(t), newKeys(t)
		secret := unhex(t, vectorChaChaSecret)
		if send.SetVersion(version) != nil || recv.SetVersion(version) != nil ||
			send.InstallWrite(OneRTT, ChaCha20Poly1305SHA256, secret) != nil ||
			recv.InstallRead(OneRTT, ChaCha20Poly1305SHA256, secret) != nil {
			t.Fatal("no keys")
		}
		for gen := range uint32(4) {
			buf := append([]byte{0x42 | byte(gen&1)<<2, 0, 0, byte(gen), 1}, make([]byte, Overhead)...)
			seal := []SealDesc{{Len: uint32(len(buf)), PNOff: 1, PNLen: 3, PN: int64(gen), Slot: OneRTT, Gen: gen}}
			open := []OpenDesc{{Len: uint32(len(buf)), PNOff: 1, Slot: OneRTT, Largest: int64(gen) - 1}}
			if !send.Seal(buf, seal) {
				t.Fatal("Seal refused")
			}
			if recv.Open(buf, open); open[0].Status != Opened || open[0].Gen != gen {
				t.Errorf("version %#x, generation %d: %+v", version, gen, open[0])
			}
			if open[0].Gen > recv.ReadGen() && recv.AdvanceRead(int64(gen)) != nil || send.AdvanceWrite() != nil {
				t.Fatal("no update")
			}
		}
	}
	if newKeys(t).SetVersion(2) == nil {
		t.Error("SetVersion took version 2, whose number is another")
	}
}
