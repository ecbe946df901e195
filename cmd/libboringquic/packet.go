package main

// #include "internal.h"
import "C"

import (
	"math/rand/v2"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
)

//export bq_go_header_parse
func bq_go_header_parse(packet *C.uint8_t, n C.size_t, shortLen C.uint32_t, out *C.bquic_header) C.int32_t {
	return C.int32_t(call(func() error {
		if shortLen > 20 {
			return faultf(errArgument, "short_len is %d, and can be at most 20", shortLen)
		}
		h, ok := quic.ParseHeader(memory(packet, n), int(shortLen))
		if !ok {
			return faultf(errMessage, "this is no packet of QUIC's")
		}
		blank(out)
		out._type, out.version, out.len = C.uint32_t(h.Type), C.uint32_t(h.Version), C.uint32_t(h.Len)
		lend(&out.destination, h.DstConnID)
		lend(&out.source, h.SrcConnID)
		lend(&out.token, h.Token)
		return nil
	}))
}

// lend has to, which is blank, name b, which is the caller's memory.
func lend(to *C.bquic_bytes, b []byte) {
	if len(b) > 0 {
		point(&to.data, unsafe.Pointer(unsafe.SliceData(b)))
		to.len = C.size_t(len(b))
	}
}

// given is the memory that b names.
func given(b *C.bquic_bytes) []byte { return memory((*C.uint8_t)(b.data), b.len) }

// sessionOf is the session that b holds, nil for none.
func sessionOf(b *C.bquic_bytes) (*quic.Session, error) {
	if b.len == 0 {
		return nil, nil
	}
	s := new(quic.Session)
	if err := s.UnmarshalBinary(given(b)); err != nil {
		return nil, &fault{errArgument, err.Error()}
	}
	return s, nil
}

// write copies a packet to out, if it fits.
func write(out *C.uint8_t, room C.size_t, b []byte, n *C.int64_t) error {
	if uint64(len(b)) > uint64(room) {
		return faultf(errFull, "the packet has %d bytes, and there is room for %d", len(b), room)
	}
	*n = C.int64_t(copy(memory(out, room), b))
	return nil
}

// versionNegotiation and retry are the packets that both headers write.
func versionNegotiation(dst, src []byte, versions []uint32) ([]byte, error) {
	if len(dst) > 255 || len(src) > 255 {
		return nil, faultf(errArgument, "connection IDs of %d and %d bytes; they have 255 at most", len(dst), len(src))
	}
	return quic.AppendVersionNegotiation(nil, dst, src, versions, rand.Uint64()), nil
}

func retry(version uint32, dst, src, newID, token []byte) ([]byte, error) {
	id, ok := quic.MakeConnID(newID)
	if !ok {
		return nil, faultf(errArgument, "the new connection ID has %d bytes, and can have 20", len(newID))
	}
	b, err := quic.AppendRetry(nil, version, dst, src, id, token, byte(rand.Uint32()))
	if err != nil {
		return nil, &fault{errArgument, err.Error()}
	}
	return b, nil
}

//export bq_go_write_version_negotiation
func bq_go_write_version_negotiation(out *C.uint8_t, room C.size_t, destination, source *C.bquic_bytes, list *C.uint32_t, count C.uint32_t, n *C.int64_t) C.int32_t {
	return C.int32_t(call(func() error {
		if count > 64 {
			return faultf(errArgument, "there are %d versions, and can be 64", count)
		}
		var versions []uint32
		for _, v := range unsafe.Slice(list, count) {
			versions = append(versions, uint32(v))
		}
		b, err := versionNegotiation(given(destination), given(source), versions)
		if err != nil {
			return err
		}
		return write(out, room, b, n)
	}))
}

//export bq_go_write_retry
func bq_go_write_retry(out *C.uint8_t, room C.size_t, version C.uint32_t, destination, source, id, token *C.bquic_bytes, n *C.int64_t) C.int32_t {
	return C.int32_t(call(func() error {
		b, err := retry(uint32(version), given(destination), given(source), given(id), given(token))
		if err != nil {
			return err
		}
		return write(out, room, b, n)
	}))
}
