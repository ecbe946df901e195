package main

// #include "quiche_internal.h"
import "C"

import (
	"errors"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
)

// Addresses.

// address reads a sockaddr; no address at all is good, and stands for none.
func address(p *C.struct_sockaddr, n C.socklen_t) (a netip.AddrPort, ok bool) {
	switch {
	case p == nil:
		return a, true
	case n < 16 || p.sa_family == inet6 && n < 28:
		return a, false
	}
	a, err := goAddr((*C.bquic_addr)(unsafe.Pointer(p)))
	return a, err == nil && a.IsValid()
}

// putAddress writes a sockaddr.
func putAddress(to *C.struct_sockaddr_storage, n *C.socklen_t, a netip.AddrPort) {
	*to = C.struct_sockaddr_storage{}
	setAddr((*C.bquic_addr)(unsafe.Pointer(to)), a)
	switch ip := a.Addr(); {
	case ip.Is4():
		*n = 16
	case ip.Is6():
		*n = 28
	default:
		*n = 0
	}
}

// quichePaths is what functions of quiche.h tell of paths and connection IDs.
type quichePaths struct {
	events  []quichePathEvent
	issued  []quic.ConnID // in their order, that the peer had not retired; nil: the first alone
	retired []quic.ConnID
}

type quichePathEvent struct {
	kind          C.enum_quiche_path_event_type
	local, remote netip.AddrPort
	size          int

	otherLocal, otherRemote netip.AddrPort // of a connection ID that is reused
	seq                     uint64
}

const (
	maxQuichePathEvents = 64 // that wait for quiche_conn_path_event_next
	maxQuicheRetired    = 64 // that wait for quiche_conn_retired_scid_iter
)

func (p *quichePaths) push(ev quichePathEvent) {
	if len(p.events) == maxQuichePathEvents {
		p.events = append(p.events[:0], p.events[1:]...)
	}
	p.events = append(p.events, ev)
}

// settleRetired notes which connection IDs the peer has retired. As with quiche that is told at once, though for three probe timeouts more the core
// takes what comes to them.
func (q *quicheConn) settleRetired() {
	p := &q.paths
	if len(p.issued) == 0 {
		return
	}
	left := q.core.SourceIDs()
	p.issued = slices.DeleteFunc(p.issued, func(id quic.ConnID) bool {
		if slices.Contains(left, id) {
			return false
		}
		if len(p.retired) == maxQuicheRetired {
			p.retired = append(p.retired[:0], p.retired[1:]...)
		}
		p.retired = append(p.retired, id)
		return true
	})
}

func (q *quicheConn) onPath(ev *quic.PathEvent) {
	q.log("path %v to %v: %v", ev.Local, ev.Remote, ev.Kind)
	out := quichePathEvent{local: ev.Local, remote: ev.Remote}
	switch client := q.core.IsClient(); {
	case ev.Kind == quic.PathNew && !client:
		out.kind = C.QUICHE_PATH_EVENT_NEW
	case ev.Kind == quic.PathValidated:
		out.kind = C.QUICHE_PATH_EVENT_VALIDATED
	case ev.Kind == quic.PathFailed:
		out.kind = C.QUICHE_PATH_EVENT_FAILED_VALIDATION
	case ev.Kind == quic.PathClosed:
		out.kind = C.QUICHE_PATH_EVENT_CLOSED
	case ev.Kind == quic.PathReused:
		out.kind, out.otherLocal, out.otherRemote, out.seq = C.QUICHE_PATH_EVENT_REUSED_SOURCE_CONNECTION_ID, ev.OtherLocal, ev.OtherRemote, ev.Seq
	case ev.Kind == quic.PathActivated && !client:
		out.kind = C.QUICHE_PATH_EVENT_PEER_MIGRATED
	default:
		return // what the program itself has done
	}
	q.paths.push(out)
}

func (q *quicheConn) onMTU(size int) {
	if !q.made.core.DisablePMTUD {
		q.paths.push(quichePathEvent{kind: C.QUICHE_PATH_EVENT_PMTU_UPDATED, local: q.core.LocalAddr(), remote: q.core.RemoteAddr(), size: size})
	}
}

//export bq_go_quiche_path_event
func bq_go_quiche_path_event(h C.uint64_t, out *C.quiche_path_event) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		if len(q.paths.events) == 0 {
			return 0, nil
		}
		ev := q.paths.events[0]
		q.paths.events = append(q.paths.events[:0], q.paths.events[1:]...)
		out._type, out.pmtu = ev.kind, C.size_t(ev.size)
		putAddress(&out.local, &out.local_len, ev.local)
		putAddress(&out.peer, &out.peer_len, ev.remote)
		putAddress(&out.old_local, &out.old_local_len, ev.otherLocal)
		putAddress(&out.old_peer, &out.old_peer_len, ev.otherRemote)
		out.seq = C.uint64_t(ev.seq)
		return 1, nil
	})
}

// idIter makes an iterator of connection IDs.
func idIter(ids []quic.ConnID) *C.quiche_connection_id_iter {
	var it *C.quiche_connection_id_iter
	const each = 1 + C.QUICHE_MAX_CONN_ID_LEN
	it = (*C.quiche_connection_id_iter)(C.malloc(C.size_t(unsafe.Sizeof(*it)) + C.size_t(each*len(ids))))
	it.at, it.count = 0, C.size_t(len(ids))
	b := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(it), unsafe.Sizeof(*it))), each*len(ids))
	for i := range ids {
		b[i*each] = byte(ids[i].Len())
		copy(b[i*each+1:], ids[i].Bytes())
	}
	return it
}

//export bq_go_quiche_source_ids
func bq_go_quiche_source_ids(h C.uint64_t, retired C.bool) (it *C.quiche_connection_id_iter) {
	lookQuiche(h, func(q *quicheConn) (int64, error) {
		if !retired {
			it = idIter(q.core.SourceIDs())
			return 0, nil
		}
		q.settleRetired()
		it = idIter(q.paths.retired)
		q.paths.retired = nil
		return 0, nil
	})
	return it
}

//export bq_go_quiche_retired_next
func bq_go_quiche_retired_next(h C.uint64_t) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		if q.settleRetired(); len(q.paths.retired) == 0 {
			return 0, quicheDone
		}
		id := q.paths.retired[0]
		q.paths.retired = append(q.paths.retired[:0], q.paths.retired[1:]...)
		return int64(putID(&q.c.retired, id)), nil
	})
}

//export bq_go_quiche_ids
func bq_go_quiche_ids(h C.uint64_t, what C.int) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		switch what {
		case C.BQ_IDS_RETIRED:
			q.settleRetired()
			return int64(len(q.paths.retired)), nil
		case C.BQ_IDS_SPARE:
			return int64(q.core.SpareDestinationIDs()), nil
		case C.BQ_IDS_LEFT:
			return int64(q.core.ConnIDsLeft()), nil
		}
		return int64(len(q.core.SourceIDs())), nil
	})
}

//export bq_go_quiche_new_scid
func bq_go_quiche_new_scid(h C.uint64_t, scid *C.uint8_t, n C.size_t, token *C.uint8_t, retire C.bool, seq *C.uint64_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		id, good := quic.MakeConnID(memory(scid, n))
		if !good {
			return 0, quichefault(quicheState, "scid_len is %d, and can be at most 20", n)
		}
		first := q.core.SourceID()
		number, err := q.core.IssueConnID(id, [16]byte(unsafe.Slice((*byte)(token), 16)), bool(retire))
		if err != nil {
			return 0, err
		}
		if q.paths.issued == nil { // so that the first was not retired: there was none in its place
			q.paths.issued = []quic.ConnID{first}
		}
		q.settleRetired()
		q.paths.issued = append(q.paths.issued, id)
		*seq = C.uint64_t(number)
		return 0, nil
	})
}

//export bq_go_quiche_retire_dcid
func bq_go_quiche_retire_dcid(h, seq C.uint64_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		err := q.core.RetireDestinationID(uint64(seq))
		switch {
		case errors.Is(err, quic.ErrConnIDLimit):
			err = &quicheFault{quicheState, err}
		case err != nil && q.core.Err() == nil && q.core.DestinationID().Len() > 0 && q.core.SpareDestinationIDs() == 0 && len(q.core.Paths()) == 1:
			err = quic.ErrNoConnIDs // of the only one quiche does not ask for the number
		}
		return 0, err
	})
}

//export bq_go_quiche_migrate
func bq_go_quiche_migrate(h C.uint64_t, move C.bool, local *C.struct_sockaddr, localLen C.socklen_t, peer *C.struct_sockaddr, peerLen C.socklen_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, now time.Time) (int64, error) {
		from, ok1 := address(local, localLen)
		to, ok2 := address(peer, peerLen)
		if !ok1 || !ok2 {
			return 0, faultf(errArgument, "an address is neither a sockaddr_in nor a sockaddr_in6")
		}
		if move {
			return 0, q.core.Migrate(now, from, to)
		}
		return 0, q.core.ProbePath(now, from, to)
	})
}

// onWhich returns the path that two addresses name, of which either may be missing: then it is the first that fits.
func (q *quicheConn) onWhich(local *C.struct_sockaddr, localLen C.socklen_t, peer *C.struct_sockaddr, peerLen C.socklen_t) (l, r netip.AddrPort, err error) {
	from, ok1 := address(local, localLen)
	to, ok2 := address(peer, peerLen)
	if !ok1 || !ok2 {
		return l, r, faultf(errArgument, "an address is neither a sockaddr_in nor a sockaddr_in6")
	}
	for _, p := range q.core.Paths() {
		if (local == nil || p.Local == from) && (peer == nil || p.Remote == to) {
			return p.Local, p.Remote, nil
		}
	}
	return l, r, faultf(errPath, "there is no path from %v to %v", from, to)
}

//export bq_go_quiche_path_validated
func bq_go_quiche_path_validated(h C.uint64_t, local *C.struct_sockaddr, localLen C.socklen_t, peer *C.struct_sockaddr, peerLen C.socklen_t) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		l, r, err := q.onWhich(local, localLen, peer, peerLen)
		for _, p := range q.core.Paths() {
			if err == nil && p.Local == l && p.Remote == r {
				return yes(p.Validated), nil
			}
		}
		return 0, err
	})
}

//export bq_go_quiche_paths
func bq_go_quiche_paths(h C.uint64_t, from *C.struct_sockaddr, n C.socklen_t) (it *C.quiche_socket_addr_iter) {
	lookQuiche(h, func(q *quicheConn) (int64, error) {
		local, good := address(from, n)
		if !good {
			return 0, quichefault(quicheState, "from is neither a sockaddr_in nor a sockaddr_in6")
		}
		var peers []netip.AddrPort
		for _, p := range q.core.Paths() {
			if p.Local == local {
				peers = append(peers, p.Remote)
			}
		}
		type entry struct {
			addr C.struct_sockaddr_storage
			len  C.socklen_t
		}
		it = (*C.quiche_socket_addr_iter)(C.malloc(C.size_t(unsafe.Sizeof(*it)) + C.size_t(unsafe.Sizeof(entry{}))*C.size_t(len(peers))))
		it.at, it.count = 0, C.size_t(len(peers))
		entries := unsafe.Slice((*entry)(unsafe.Add(unsafe.Pointer(it), unsafe.Sizeof(*it))), len(peers))
		for i := range entries {
			putAddress(&entries[i].addr, &entries[i].len, peers[i])
		}
		return 0, nil
	})
	return it
}

// What is told of a path's validation: the numbers of quiche.
const (
	pathValidating = 1
	pathValidated  = 3
)

//export bq_go_quiche_path_stats
func bq_go_quiche_path_stats(h C.uint64_t, i C.size_t, out *C.quiche_path_stats) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		paths := q.core.Paths()
		if int(i) >= len(paths) || int(i) < 0 {
			return 0, quicheDone
		}
		p := &paths[i]
		*out = C.quiche_path_stats{
			validation_state: pathValidating, active: C.bool(p.State == quic.PathActive), recv: C.size_t(p.PacketsReceived), sent: C.size_t(p.PacketsSent),
			lost: C.size_t(p.PacketsLost), rtt: C.uint64_t(p.SmoothedRTT), min_rtt: C.uint64_t(p.MinRTT), rttvar: C.uint64_t(p.RTTVar),
			cwnd: C.size_t(p.CongestionWindow), sent_bytes: C.uint64_t(p.BytesSent), recv_bytes: C.uint64_t(p.BytesReceived), pmtu: C.size_t(p.MaxUDPPayload),
		}
		if p.Validated {
			out.validation_state = pathValidated
		}
		putAddress(&out.local_addr, &out.local_addr_len, p.Local)
		putAddress(&out.peer_addr, &out.peer_addr_len, p.Remote)
		return 0, nil
	})
}
