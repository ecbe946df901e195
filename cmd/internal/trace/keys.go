package trace

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/boringquic/boringquic/crypto/protect"
)

// The versions.
const (
	Version1 = 0x00000001
	Version2 = 0x6b3343cf
)

// version is what differs between versions of QUIC (RFC 9001, section 5; RFC 9369, section 3.3).
type version struct {
	salt                 string // in hex
	key, iv, hp, ku      string
	longTypes            [4]Type
	protectVersionLabels uint32
}

var versions = map[uint32]*version{
	Version1: {"38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "quic key", "quic iv", "quic hp", "quic ku",
		[4]Type{Initial, ZeroRTT, Handshake, Retry}, Version1},
	Version2: {"0dede3def700a6db819381be6e269dcbf9bd2ed9", "quicv2 key", "quicv2 iv", "quicv2 hp", "quicv2 ku",
		[4]Type{Retry, Initial, ZeroRTT, Handshake}, Version2},
}

// expandLabel is HKDF-Expand-Label of RFC 8446, section 7.1, without context.
func expandLabel(h func() hash.Hash, secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(label)+6))
	info = append(info, "tls13 "+label...)
	info = append(info, 0)
	out, err := hkdf.Expand(h, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}

// opener opens the packets of one direction at one level, from the first generation of its keys on.
type opener struct {
	v       *version
	suite   uint16
	hash    func() hash.Hash
	secret  []byte
	hp      cipher.Block
	gens    []gen // by generation
	gen     int   // the current one
	chacha  *protect.Keys
	largest int64
}

type gen struct {
	aead cipher.AEAD
	iv   []byte
}

// newOpener returns the opener of a TLS traffic secret, nil for a suite that is not known.
func newOpener(v *version, suite uint16, secret []byte) *opener {
	o := &opener{v: v, suite: suite, secret: secret, hash: sha256.New, largest: -1}
	size := 16
	switch suite {
	case 0x1301:
	case 0x1302:
		o.hash, size = sha512.New384, 32
	case 0x1303:
		o.chacha = protect.NewKeys()
		if o.chacha.SetVersion(v.protectVersionLabels) != nil || o.chacha.InstallRead(protect.OneRTT, protect.ChaCha20Poly1305SHA256, secret) != nil {
			return nil
		}
		return o
	default:
		return nil
	}
	o.hp, _ = aes.NewCipher(expandLabel(o.hash, secret, v.hp, size))
	o.addGen(secret, size)
	return o
}

func (o *opener) addGen(secret []byte, size int) {
	block, err := aes.NewCipher(expandLabel(o.hash, secret, o.v.key, size))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	o.gens = append(o.gens, gen{aead, expandLabel(o.hash, secret, o.v.iv, 12)})
	o.secret = secret
}

// initialOpener returns the opener of Initial packets (RFC 9001, section 5.2).
func initialOpener(v *version, dcid []byte, fromClient bool) *opener {
	salt, err := hex.DecodeString(v.salt)
	if err != nil {
		panic(err)
	}
	initial, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		panic(err)
	}
	label := "server in"
	if fromClient {
		label = "client in"
	}
	return newOpener(v, 0x1301, expandLabel(sha256.New, initial, label, 32))
}

// open opens a packet whose number begins at pnOff, and which ends where b does. b is not changed.
func (o *opener) open(b []byte, pnOff int, short bool) (plain []byte, pn int64, generation int, ok bool) {
	if len(b) < pnOff+20 {
		return nil, 0, 0, false
	}
	b = append([]byte(nil), b...)
	if o.chacha != nil {
		return o.openChaCha(b, pnOff, short)
	}
	var mask [16]byte
	o.hp.Encrypt(mask[:], b[pnOff+4:pnOff+20])
	if short {
		b[0] ^= mask[0] & 0x1f
	} else {
		b[0] ^= mask[0] & 0x0f
	}
	pnLen := int(b[0]&3) + 1
	truncated := int64(0)
	for i := range pnLen {
		b[pnOff+i] ^= mask[1+i]
		truncated = truncated<<8 | int64(b[pnOff+i])
	}
	pn = decodePN(o.largest, truncated, pnLen)
	for _, g := range o.candidates(short, b[0]&4 != 0) {
		nonce := append([]byte(nil), o.gens[g].iv...)
		for i := range 8 {
			nonce[4+i] ^= byte(uint64(pn) >> (56 - 8*i))
		}
		if plain, err := o.gens[g].aead.Open(nil, nonce, b[pnOff+pnLen:], b[:pnOff+pnLen]); err == nil {
			o.largest, o.gen = max(o.largest, pn), max(o.gen, g)
			return plain, pn, g, true
		}
	}
	return nil, 0, 0, false
}

// candidates returns which generations a packet may be protected with, by its key phase (RFC 9001, section 6).
func (o *opener) candidates(short, phase bool) (gens []int) {
	if !short {
		return []int{0}
	}
	bit := 0
	if phase {
		bit = 1
	}
	if o.gen&1 == bit {
		return []int{o.gen}
	}
	if next := o.gen + 1; next == len(o.gens) {
		size := 16
		if o.suite == 0x1302 {
			size = 32
		}
		o.addGen(expandLabel(o.hash, o.secret, o.v.ku, o.hash().Size()), size)
	}
	gens = append(gens, o.gen+1)
	if o.gen > 0 {
		gens = append(gens, o.gen-1)
	}
	return gens
}

// openChaCha opens with package protect. A long header is handled as the header of its kind: what is masked of the first byte differs.
func (o *opener) openChaCha(b []byte, pnOff int, short bool) (plain []byte, pn int64, generation int, ok bool) {
	slot := protect.OneRTT
	if !short {
		slot = protect.Handshake
		if !o.chacha.HasRead(slot) {
			if o.chacha.InstallRead(slot, protect.ChaCha20Poly1305SHA256, o.secret) != nil {
				return nil, 0, 0, false
			}
		}
	}
	d := []protect.OpenDesc{{Len: uint32(len(b)), PNOff: uint16(pnOff), Slot: slot, Largest: o.largest}}
	o.chacha.Open(b, d)
	if d[0].Status != protect.Opened {
		return nil, 0, 0, false
	}
	pn, generation = d[0].PN, int(d[0].Gen)
	if short && d[0].Gen > o.chacha.ReadGen() {
		o.chacha.AdvanceRead(pn)
	}
	o.largest = max(o.largest, pn)
	return b[pnOff+int(d[0].PNLen) : len(b)-protect.Overhead], pn, generation, true
}

// decodePN is RFC 9000, appendix A.3.
func decodePN(largest, truncated int64, pnLen int) int64 {
	win := int64(1) << (8 * pnLen)
	expected := largest + 1
	pn := expected&^(win-1) | truncated
	switch {
	case pn <= expected-win/2 && pn < 1<<62-win:
		return pn + win
	case pn > expected+win/2 && pn >= win:
		return pn - win
	}
	return pn
}

// keyLog are the secrets of a key log in NSS's format, by label and client random.
type keyLog map[string][]byte

func parseKeyLog(text []byte) keyLog {
	log := make(keyLog)
	for line := range strings.SplitSeq(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if secret, err := hex.DecodeString(f[2]); err == nil {
			log[f[0]+" "+strings.ToLower(f[1])] = secret
		}
	}
	return log
}

func (l keyLog) secret(label string, random []byte) []byte {
	return l[label+" "+hex.EncodeToString(random)]
}
