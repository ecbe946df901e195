package main

// #include "quiche_internal.h"
import "C"

import (
	"io/fs"
	"syscall"

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
			return 0, quichefault(quichePacket, "dcil is %d, and can be at most 20", dcil)
		}
		h, good := quic.ParseHeader(memory(b, n), int(dcil))
		if !good {
			return 0, quichefault(quichePacket, "this is no packet of QUIC's")
		}
		for _, part := range []struct {
			from []byte
			to   *C.uint8_t
			room *C.size_t
		}{{h.SrcConnID, scid, scidLen}, {h.DstConnID, dcid, dcidLen}, {h.Token, token, tokenLen}} {
			if len(part.from) > int(*part.room) {
				return 0, quichefault(quicheDone, "there is no room for %d bytes of the header, but for %d", len(part.from), *part.room)
			}
			copy(memory(part.to, *part.room), part.from)
			*part.room = C.size_t(len(part.from))
		}
		*version, *kind = C.uint32_t(h.Version), quicheTypes[h.Type]
		return 0, nil
	})
}

//export bq_go_quiche_negotiate
func bq_go_quiche_negotiate(scid *C.uint8_t, scidLen C.size_t, dcid *C.uint8_t, dcidLen C.size_t, out *C.uint8_t, room C.size_t) C.int64_t {
	return quicheCall(func() (int, error) {
		b, err := versionNegotiation(memory(dcid, dcidLen), memory(scid, scidLen), nil)
		if err != nil {
			return 0, err
		}
		return put(out, room, b)
	})
}

//export bq_go_quiche_retry
func bq_go_quiche_retry(scid *C.uint8_t, scidLen C.size_t, dcid *C.uint8_t, dcidLen C.size_t, newID *C.uint8_t, newLen C.size_t,
	token *C.uint8_t, tokenLen C.size_t, version C.uint32_t, out *C.uint8_t, room C.size_t) C.int64_t {
	return quicheCall(func() (int, error) {
		b, err := retry(uint32(version), memory(dcid, dcidLen), memory(scid, scidLen), memory(newID, newLen), memory(token, tokenLen))
		switch {
		case err != nil && !quic.VersionSupported(uint32(version)):
			return 0, &quicheFault{quicheVersion, err}
		case err != nil:
			return 0, err
		}
		return put(out, room, b)
	})
}

func put(out *C.uint8_t, room C.size_t, b []byte) (int, error) {
	var n C.int64_t
	if err := write(out, room, b, &n); err != nil {
		return 0, &quicheFault{quicheShort, err}
	}
	return int(n), nil
}

// keyLog is the file that a connection's secrets are written to, once there is one.
type keyLog struct {
	lines keyLines
	open  bool
}

func (k *keyLog) Write(b []byte) (int, error) {
	if !k.open {
		return len(b), nil
	}
	return k.lines.Write(b)
}

func (k *keyLog) close() {
	if k != nil && k.open {
		syscall.Close(int(k.lines.descriptor))
		k.open = false
	}
}

//export bq_go_quiche_keylog
func bq_go_quiche_keylog(h C.uint64_t, path *C.char, fd C.int) C.int64_t {
	file, taken := int(fd), path != nil
	result := lookQuiche(h, func(q *quicheConn) (int64, error) {
		if q.keyLog == nil {
			return 0, faultf(errState, "the config says nothing of keys that are logged, or TLS is the program's")
		}
		if path != nil {
			var err error
			name := text(path)
			if file, err = syscall.Open(name, syscall.O_APPEND|syscall.O_CREAT|syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0o600); err != nil {
				return 0, &fs.PathError{Op: "open", Path: name, Err: err}
			}
		}
		q.keyLog.close()
		*q.keyLog, taken = keyLog{lines: keyLines{descriptor(file)}, open: true}, true
		return 1, nil
	})
	if !taken {
		syscall.Close(file)
	}
	return result
}
