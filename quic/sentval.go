package quic

// sentVal is where the sending of one small thing stands that is sent until it is acknowledged: a limit, a reset, a
// request. What is sent is the value at the time of sending; only the loss of the newest one matters.
type sentVal struct {
	state sentState
	last  uint64 // the value sent last
}

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

func (v *sentVal) set()      { v.state = sentDue }
func (v *sentVal) due() bool { return v.state == sentDue }

func (v *sentVal) onSent(value uint64) { v.state, v.last = sentSent, value }

func (v *sentVal) onAcked(value uint64) {
	if v.state == sentSent && v.last == value {
		v.state = sentAcked
	}
}

// done says that the peer knows, for a thing that is told once and never changes: even if it was taken for lost.
func (v *sentVal) done() { v.state = sentAcked }

// onLost tells whether the value has to be sent again.
func (v *sentVal) onLost(value uint64) bool {
	if v.state != sentSent || v.last != value {
		return false
	}
	v.state = sentDue
	return true
}
