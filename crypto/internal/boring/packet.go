package boring

// #cgo noescape bq_keys_install
// #cgo nocallback bq_keys_install
// #cgo noescape bq_keys_install_initial
// #cgo nocallback bq_keys_install_initial
// #cgo noescape bq_keys_advance_read
// #cgo nocallback bq_keys_advance_read
// #cgo noescape bq_keys_advance_write
// #cgo nocallback bq_keys_advance_write
// #cgo noescape bq_open
// #cgo nocallback bq_open
// #cgo noescape bq_seal
// #cgo nocallback bq_seal
// #include "shim_packet.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Slot is an encryption level's place among a connection's packet-protection keys.
type Slot uint8

// OpenStatus says what became of a packet that was to be opened.
type OpenStatus uint8

// OpenDesc describes one packet to open; it is laid out as the C struct bq_open_desc, so that a slice of them crosses
// into C as it is.
type OpenDesc struct {
	Largest int64  // in: the largest packet number received in the space when the train began, -1 if none
	PN      int64  // out: the packet number
	Off     uint32 // in: the packet's first byte in the buffer
	Len     uint32 // in: the packet's length in bytes, header and tag included
	PathID  uint32 // in: enters the nonce; 0 without multipath
	Gen     uint32 // out: the generation of the 1-RTT key that was tried, 0 at other levels
	PNOff   uint16 // in: the packet number's first byte, from Off
	Slot    Slot   // in: which keys
	Status  OpenStatus
	PNLen   uint8 // out: the packet number's length in bytes, 1 to 4
	First   uint8 // out: the first byte without header protection; the caller checks its reserved bits
	_       [2]uint8
}

// SealDesc describes one packet to seal; it is laid out as the C struct bq_seal_desc.
type SealDesc struct {
	PN     int64  // the packet number, 0 to 2^62-1
	Off    uint32 // the packet's first byte in the buffer
	Len    uint32 // the packet's length in bytes, header and the 16 bytes of room for the tag included
	PathID uint32 // enters the nonce; 0 without multipath
	Gen    uint32 // the generation of the 1-RTT key, which must be the current one; 0 at other levels
	PNOff  uint16 // the packet number's first byte, from Off
	Slot   Slot   // which keys
	PNLen  uint8  // the packet number's length in bytes, 1 to 4, as the first byte tells it

	PieceOff uint16 // where in the piece the payload goes on
	Piece    uint8  // which piece, from 1; 0: all lies in the buffer
	Prefix   uint8  // how many bytes of the payload lie in the buffer if there is a piece
}

// Bounds of pieces.
const (
	MaxPieces = C.BQ_PIECES     // in a call
	MaxPrefix = C.BQ_MAX_PREFIX // of SealDesc.Prefix
)

// Labels says whose version's labels keys are derived with.
type Labels uint8

// The labels of QUIC version 1 (RFC 9001, section 5.1), and those of version 2 (RFC 9369, section 3.3.2).
const (
	LabelsV1 Labels = C.BQ_LABELS_V1
	LabelsV2 Labels = C.BQ_LABELS_V2
)

// PacketKeys are the packet-protection keys of one connection, in C memory. It is not for concurrent use. The methods
// must not be called after Free, but for Free itself.
type PacketKeys struct {
	c       *C.bq_keys
	cleanup runtime.Cleanup
}

// Init makes k an empty set of keys; without C memory it is as if Free had been called. Free gives the memory back, or else the
// garbage collector with what k is part of.
func (k *PacketKeys) Init() {
	k.c = C.bq_keys_new()
	if k.c == nil {
		return
	}
	k.cleanup = runtime.AddCleanup(k, freeKeys, k.c)
}

func freeKeys(c *C.bq_keys) { C.bq_keys_free(c) }

// Live tells whether Init was called, and Free was not.
func (k *PacketKeys) Live() bool { return k.c != nil }

// Free gives the C memory back. A second call does nothing.
func (k *PacketKeys) Free() {
	if k.c == nil {
		return
	}
	k.cleanup.Stop()
	C.bq_keys_free(k.c)
	k.c = nil
}

// Install derives the keys of one direction and slot from secret.
func (k *PacketKeys) Install(l Labels, write bool, s Slot, suite uint16, secret []byte) bool {
	ok := C.bq_keys_install(k.c, C.int(l), cBool(write), C.int(s), C.uint16_t(suite), bytesPtr(secret), C.size_t(len(secret))) == 1
	runtime.KeepAlive(k)
	return ok
}

// InstallInitial derives the Initial keys of both directions from salt and the client's Destination Connection ID.
func (k *PacketKeys) InstallInitial(l Labels, salt, dcid []byte, client bool) bool {
	ok := C.bq_keys_install_initial(k.c, C.int(l), bytesPtr(salt), C.size_t(len(salt)), bytesPtr(dcid), C.size_t(len(dcid)),
		cBool(client)) == 1
	runtime.KeepAlive(k)
	return ok
}

// Drop frees the keys of a slot.
func (k *PacketKeys) Drop(s Slot) {
	C.bq_keys_drop(k.c, C.int(s))
	runtime.KeepAlive(k)
}

// AdvanceRead moves on to the next 1-RTT read key; secret, the current one's, is replaced in place.
func (k *PacketKeys) AdvanceRead(l Labels, suite uint16, secret []byte, firstPN int64) bool {
	ok := C.bq_keys_advance_read(k.c, C.int(l), C.uint16_t(suite), bytesPtr(secret), C.size_t(len(secret)), C.int64_t(firstPN)) == 1
	runtime.KeepAlive(k)
	return ok
}

// AdvanceWrite moves on to the next 1-RTT write key; secret, the current one's, is replaced in place.
func (k *PacketKeys) AdvanceWrite(l Labels, suite uint16, secret []byte) bool {
	ok := C.bq_keys_advance_write(k.c, C.int(l), C.uint16_t(suite), bytesPtr(secret), C.size_t(len(secret))) == 1
	runtime.KeepAlive(k)
	return ok
}

// DropPrevious frees the 1-RTT read key before the current one.
func (k *PacketKeys) DropPrevious() {
	C.bq_keys_drop_previous(k.c)
	runtime.KeepAlive(k)
}

// Rest frees the 1-RTT keys of both directions, without which no 1-RTT packet is opened or sealed. What is left is the previous read key, and what
// header protection takes.
func (k *PacketKeys) Rest() {
	C.bq_keys_rest(k.c)
	runtime.KeepAlive(k)
}

// Wake makes the 1-RTT keys of a direction again; secret is the current key's.
func (k *PacketKeys) Wake(l Labels, write bool, suite uint16, secret []byte) bool {
	ok := C.bq_keys_wake(k.c, C.int(l), cBool(write), C.uint16_t(suite), bytesPtr(secret), C.size_t(len(secret))) == 1
	runtime.KeepAlive(k)
	return ok
}

// Open opens the packets that d describes, in buf and in place, in one crossing.
func (k *PacketKeys) Open(buf []byte, d []OpenDesc) {
	C.bq_open(k.c, bytesPtr(buf), C.size_t(len(buf)), (*C.bq_open_desc)(unsafe.Pointer(unsafe.SliceData(d))),
		C.size_t(len(d)))
	runtime.KeepAlive(k)
}

// Seal seals the packets that d describes, in buf, in one crossing. It answers false, before any packet was touched, if a
// descriptor is wrong or its key is not there. There are at most MaxPieces pieces.
func (k *PacketKeys) Seal(buf []byte, d []SealDesc, pieces [][]byte) bool {
	var p C.bq_pieces
	for i, piece := range pieces {
		p.at[i], p.len[i] = bytesPtr(piece), C.size_t(len(piece))
	}
	ok := C.bq_seal(k.c, bytesPtr(buf), C.size_t(len(buf)), (*C.bq_seal_desc)(unsafe.Pointer(unsafe.SliceData(d))),
		C.size_t(len(d)), p) == 1
	runtime.KeepAlive(k)
	return ok
}

// PacketKeysLive counts the pieces of C memory that all PacketKeys of the process hold, for tests.
func PacketKeysLive() int64 { return int64(C.bq_packet_live()) }

// DescLayouts returns the offsets of the descriptors' fields and their sizes as C sees them, in the order of the Go
// structs, for the test that compares the two.
func DescLayouts() (open, seal []uintptr) {
	var o C.bq_open_desc
	var s C.bq_seal_desc
	open = []uintptr{
		unsafe.Offsetof(o.largest), unsafe.Offsetof(o.pn), unsafe.Offsetof(o.off), unsafe.Offsetof(o.len),
		unsafe.Offsetof(o.path_id), unsafe.Offsetof(o.gen), unsafe.Offsetof(o.pn_off), unsafe.Offsetof(o.slot),
		unsafe.Offsetof(o.status), unsafe.Offsetof(o.pn_len), unsafe.Offsetof(o.first), unsafe.Sizeof(o),
	}
	seal = []uintptr{
		unsafe.Offsetof(s.pn), unsafe.Offsetof(s.off), unsafe.Offsetof(s.len), unsafe.Offsetof(s.path_id),
		unsafe.Offsetof(s.gen), unsafe.Offsetof(s.pn_off), unsafe.Offsetof(s.slot), unsafe.Offsetof(s.pn_len),
		unsafe.Offsetof(s.piece_off), unsafe.Offsetof(s.piece), unsafe.Offsetof(s.prefix), unsafe.Sizeof(s),
	}
	return open, seal
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
