package main

// #include "quiche_internal.h"
import "C"

import (
	"fmt"
	"math/rand/v2"
	"os"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
)

// The numbers of quiche for types of packets.
var quicheTypes = map[quic.PacketType]C.uint8_t{
	quic.PacketInitial: 1, quic.PacketRetry: 2, quic.PacketHandshake: 3, quic.PacketZeroRTT: 4, quic.PacketOneRTT: 5, quic.PacketVersionNegotiation: 6,
	quic.PacketOther: 1, // of what it is nothing is known, and who answers with Version Negotiation need not know
}

// quicheCall is call for what returns a number, or a QUICHE_ERR_*.
func quicheCall(f func() (int, error)) C.int64_t {
	result := int64(quicheState)
	call(func() error {
		n, err := f()
		if err == nil {
			result = int64(n)
			return nil
		}
		result = int64(quicheCode(err))
		return err
	})
	return C.int64_t(result)
}

//export bq_go_quiche_header
func bq_go_quiche_header(b *C.uint8_t, n, dcil C.size_t, version *C.uint32_t, kind *C.uint8_t, scid *C.uint8_t, scidLen *C.size_t,
	dcid *C.uint8_t, dcidLen *C.size_t, token *C.uint8_t, tokenLen *C.size_t) C.int64_t {
	return quicheCall(func() (int, error) {
		if dcil > C.QUICHE_MAX_CONN_ID_LEN {
			return 0, quichePacket
		}
		h, good := quic.ParseHeader(unsafe.Slice((*byte)(b), n), int(dcil))
		if !good {
			return 0, quichePacket
		}
		for _, part := range []struct {
			from []byte
			to   *C.uint8_t
			room *C.size_t
		}{{h.SrcConnID, scid, scidLen}, {h.DstConnID, dcid, dcidLen}, {h.Token, token, tokenLen}} {
			if len(part.from) > int(*part.room) {
				return 0, &quicheFault{quicheDone, fmt.Errorf("there is no room for %d bytes of the header, but for %d", len(part.from), *part.room)}
			}
			copy(unsafe.Slice((*byte)(part.to), *part.room), part.from)
			*part.room = C.size_t(len(part.from))
		}
		*version, *kind = C.uint32_t(h.Version), quicheTypes[h.Type]
		return 0, nil
	})
}

//export bq_go_quiche_negotiate
func bq_go_quiche_negotiate(scid *C.uint8_t, scidLen C.size_t, dcid *C.uint8_t, dcidLen C.size_t, out *C.uint8_t, room C.size_t) C.int64_t {
	return quicheCall(func() (int, error) {
		if scidLen > 255 || dcidLen > 255 {
			return 0, quicheState
		}
		b := quic.AppendVersionNegotiation(nil, unsafe.Slice((*byte)(dcid), dcidLen), unsafe.Slice((*byte)(scid), scidLen), nil, rand.Uint64())
		return put(out, room, b)
	})
}

//export bq_go_quiche_retry
func bq_go_quiche_retry(scid *C.uint8_t, scidLen C.size_t, dcid *C.uint8_t, dcidLen C.size_t, newID *C.uint8_t, newLen C.size_t,
	token *C.uint8_t, tokenLen C.size_t, version C.uint32_t, out *C.uint8_t, room C.size_t) C.int64_t {
	return quicheCall(func() (int, error) {
		id, good := quic.MakeConnID(unsafe.Slice((*byte)(newID), newLen))
		if !good || tokenLen > 1<<16 || scidLen > 255 || dcidLen > 255 {
			return 0, quicheState
		}
		b, err := quic.AppendRetry(nil, uint32(version), unsafe.Slice((*byte)(dcid), dcidLen), unsafe.Slice((*byte)(scid), scidLen), id,
			unsafe.Slice((*byte)(token), tokenLen), byte(rand.Uint32()))
		switch {
		case !quic.VersionSupported(uint32(version)):
			return 0, quicheVersion
		case err != nil:
			return 0, err
		}
		return put(out, room, b)
	})
}

func put(out *C.uint8_t, room C.size_t, b []byte) (int, error) {
	if len(b) > int(room) {
		return 0, quicheShort
	}
	return copy(unsafe.Slice((*byte)(out), room), b), nil
}

// keyLog is the file that a connection's secrets are written to, once there is one.
type keyLog struct{ file *os.File }

func (k *keyLog) Write(b []byte) (int, error) {
	if k.file == nil {
		return len(b), nil
	}
	return k.file.Write(b)
}

func (k *keyLog) close() {
	if k != nil && k.file != nil {
		k.file.Close()
	}
}

//export bq_go_quiche_keylog
func bq_go_quiche_keylog(h C.uint64_t, path *C.char, fd C.int) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		var f *os.File
		if path == nil {
			f = os.NewFile(uintptr(fd), "keylog")
		}
		if q.keyLog == nil {
			if f != nil {
				f.Close()
			}
			return 0, faultf(errState, "the config says nothing of keys that are logged, or TLS is the program's")
		}
		if path != nil {
			var err error
			if f, err = os.OpenFile(C.GoString(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
				return 0, err
			}
		}
		q.keyLog.close()
		q.keyLog.file = f
		return 1, nil
	})
}
