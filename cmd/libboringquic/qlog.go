package main

// #include "quiche_internal.h"
import "C"

import (
	"io"
	"os"
	"syscall"

	"github.com/boringquic/boringquic/quic"
)

// qlogFile is a descriptor that a trace is written to, and which belongs to the connection. It is written to as it is: Go's poller, which would wait
// where it does not block, has no part in it.
type qlogFile struct{ descriptor }

func (f qlogFile) Close() error { return syscall.Close(int(f.descriptor)) }

// trace begins a trace, which w belongs to in any case.
func trace(core *quic.Conn, w io.WriteCloser, title, description *C.char) error {
	if core.Traced() || core.IsDrained() {
		w.Close()
		return faultf(errState, "the connection is traced already, or is over")
	}
	core.Trace(w, text(title), text(description)) // "" for NULL
	return nil
}

//export bq_go_conn_qlog
func bq_go_conn_qlog(h C.uint64_t, fd C.int, title, description *C.char) C.int32_t {
	if fd < 0 {
		return C.int32_t(fail(faultf(errArgument, "fd is %d, and must be a descriptor", fd)))
	}
	w, taken := qlogFile{descriptor(fd)}, false
	s := look(h, func(c *conn) error {
		taken = true
		return trace(c.core, w, title, description)
	})
	if !taken {
		w.Close()
	}
	return s
}

//export bq_go_quiche_qlog
func bq_go_quiche_qlog(h C.uint64_t, fd C.int, path, title, description *C.char) C.int64_t {
	var w io.WriteCloser = qlogFile{descriptor(fd)}
	taken := path != nil
	result := lookQuiche(h, func(q *quicheConn) (int64, error) {
		if path != nil {
			f, err := os.Create(text(path))
			if err != nil {
				return 0, err
			}
			w = f
		}
		taken = true
		return 1, trace(q.core, w, title, description)
	})
	if !taken {
		w.Close()
	}
	return result
}
