package quic

// sentVal is where the sending of one small thing stands that is sent until it is acknowledged: a limit, a reset, a
// request. What is sent is the value at the time of sending, below 2^62; only the loss of the newest one matters. It is a sentState in the two
// low bits, and above them the value sent last.
type sentVal uint64

// sentState is all that is needed of a sentVal for a thing that is told once and never changes.
type sentState uint8

const (
	sentNone  sentState = iota // nothing to tell
	sentDue                    // to be sent
	sentSent                   // under way
	sentAcked                  // the peer knows
)

func (s *sentState) set()      { *s = sentDue }
func (s *sentState) due() bool { return *s == sentDue }
func (s *sentState) onSent()   { *s = sentSent }
func (s *sentState) done()     { *s = sentAcked } // even if it was taken for lost

// onLost tells whether it has to be sent again.
func (s *sentState) onLost() bool {
	if *s != sentSent {
		return false
	}
	*s = sentDue
	return true
}

func (v sentVal) state() sentState { return sentState(v & 3) }
func (v sentVal) last() uint64     { return uint64(v >> 2) }

func (v *sentVal) become(s sentState) { *v = *v&^3 | sentVal(s) }

func (v *sentVal) set()     { v.become(sentDue) }
func (v sentVal) due() bool { return v.state() == sentDue }

func (v *sentVal) onSent(value uint64) { *v = sentVal(value<<2) | sentVal(sentSent) }

func (v *sentVal) onAcked(value uint64) {
	if v.state() == sentSent && v.last() == value {
		v.become(sentAcked)
	}
}

// onLost tells whether the value has to be sent again.
func (v *sentVal) onLost(value uint64) bool {
	if v.state() != sentSent || v.last() != value {
		return false
	}
	v.become(sentDue)
	return true
}
