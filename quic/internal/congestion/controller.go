package congestion

import "time"

// Limits on the congestion window.
const (
	// initialPackets and initialBytes bound the initial window (RFC 9002, section 7.2).
	initialPackets = 10
	initialBytes   = 14720

	// minPackets is the smallest window, in datagrams (RFC 9002, section 7.2).
	minPackets = 2

	// MaxWindow bounds the window, and with it the record of sent packets.
	MaxWindow = 64 << 20

	// unknownThreshold is the slow start threshold before the first one is found.
	unknownThreshold = 1<<63 - 1
)

// Ack is what one acknowledgement told of a path.
type Ack struct {
	Bytes      int64         // bytes newly acknowledged, of packets in flight
	OldestSent int64         // when the oldest of them was sent
	NewestSent int64         // when the newest of them was sent
	NewestPN   int64         // its packet number
	LargestPN  int64         // the largest packet number sent so far, for counting rounds
	InFlight   int64         // bytes that are still in flight
	AppLimited bool          // the window was not used up: it must not grow (RFC 9002, section 7.8)
	LatestRTT  time.Duration // 0 if the acknowledgement gave no sample
	MinRTT     time.Duration
	SRTT       time.Duration
}

// Controller is a congestion controller of one path (RFC 9002, section 7). What is in flight is counted by the caller.
type Controller interface {
	// OnAck is told of each acknowledgement that newly acknowledges packets in flight, losses first.
	OnAck(now int64, a Ack)
	// OnCongestion is told of the newest lost or CE-marked packet of an acknowledgement by the time it was sent. A
	// controller reacts once in a round trip: not to packets sent before its last reaction.
	OnCongestion(now, sent int64)
	// OnSpurious is told that the packets whose loss brought the last reaction had arrived after all.
	OnSpurious()
	// OnPersistentCongestion is told of losses over such a time that the window falls to its minimum.
	OnPersistentCongestion()
	// Window returns the congestion window in bytes.
	Window() int64
	// SlowStart tells whether the window still grows exponentially.
	SlowStart() bool
	// SetMaxDatagram tells the largest datagram that the path carries.
	SetMaxDatagram(size int)
}

// window is what NewReno and CUBIC share: the window, the threshold and the recovery period.
type window struct {
	cwnd, ssthresh int64
	maxDatagram    int64
	packets        int64 // that the window begins with
	recoveryStart  int64 // packets sent up to then belong to a loss that was reacted to; 0: none
	hystart        hystart
	before         struct{ cwnd, ssthresh int64 } // the last reaction, for OnSpurious
}

func newWindow(maxDatagram int) window {
	w := window{ssthresh: unknownThreshold, maxDatagram: int64(maxDatagram), packets: initialPackets}
	w.cwnd = w.initial()
	return w
}

// initial is the window to begin with.
func (w *window) initial() int64 { return initialWindow(w.packets, w.maxDatagram) }

// initialWindow is the window to begin with for so many packets where datagrams are that large (RFC 9002, section 7.2).
func initialWindow(packets, maxDatagram int64) int64 {
	return min(packets*maxDatagram, max(packets*initialBytes/initialPackets, minPackets*maxDatagram), MaxWindow)
}

// Begin has the window begin with so many packets instead of ten, and slow start end without HyStart++ if that is wanted: before anything
// is acknowledged.
func (w *window) Begin(packets int, hystart bool) {
	w.packets, w.hystart.off = int64(packets), !hystart
	w.cwnd = w.initial()
}

// Window returns the congestion window in bytes.
func (w *window) Window() int64 { return w.cwnd }

// SlowStart tells whether the window is below the slow start threshold.
func (w *window) SlowStart() bool { return w.cwnd < w.ssthresh }

// SetMaxDatagram tells the largest datagram. A window that nothing has changed yet begins anew with it (RFC 9002, section 7.2).
func (w *window) SetMaxDatagram(size int) {
	untouched := w.cwnd == w.initial() && w.ssthresh == unknownThreshold
	w.maxDatagram = int64(size)
	if untouched {
		w.cwnd = w.initial()
	}
	w.cwnd = max(w.cwnd, w.minimum())
}

func (w *window) minimum() int64 { return minPackets * w.maxDatagram }

func (w *window) inRecovery(sent int64) bool { return w.recoveryStart != 0 && sent <= w.recoveryStart }

// reduce starts a recovery period with a fraction of the window (RFC 9002, section 7.3.2).
func (w *window) reduce(now int64, num, den int64) {
	w.before.cwnd, w.before.ssthresh = w.cwnd, w.ssthresh
	w.recoveryStart = now
	w.ssthresh = max(w.cwnd*num/den, w.minimum())
	w.cwnd = w.ssthresh
}

// growSlowStart adds what was acknowledged, less in HyStart++'s conservative slow start. A slow start after the first
// knows where to stop, and needs no HyStart++ (RFC 9406, section 4.3).
func (w *window) growSlowStart(a Ack) {
	divisor := int64(1)
	if w.ssthresh == unknownThreshold && !w.hystart.off {
		var exit bool
		if divisor, exit = w.hystart.onAck(a); exit {
			w.ssthresh = w.cwnd
			return
		}
	}
	w.cwnd = min(w.cwnd+a.Bytes/divisor, MaxWindow)
}
