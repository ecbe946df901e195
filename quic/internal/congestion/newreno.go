package congestion

// NewReno is the controller of RFC 9002, section 7, with HyStart++.
type NewReno struct {
	window
	credit int64 // bytes acknowledged since the window last grew in congestion avoidance
}

// NewNewReno returns a NewReno controller for datagrams of at most maxDatagram bytes.
func NewNewReno(maxDatagram int) *NewReno { return &NewReno{window: newWindow(maxDatagram)} }

// OnAck grows the window.
func (c *NewReno) OnAck(_ int64, a Ack) {
	if a.AppLimited || c.inRecovery(a.NewestSent) {
		return
	}
	if c.SlowStart() {
		c.growSlowStart(a)
		return
	}
	c.credit += a.Bytes
	if c.credit >= c.cwnd {
		c.credit -= c.cwnd
		c.cwnd = min(c.cwnd+c.maxDatagram, MaxWindow)
	}
}

// OnCongestion halves the window.
func (c *NewReno) OnCongestion(now, sent int64) {
	if c.inRecovery(sent) {
		return
	}
	c.credit = 0
	c.reduce(now, 1, 2)
}

// OnSpurious takes the last reaction back.
func (c *NewReno) OnSpurious() {
	c.cwnd = max(c.cwnd, c.before.cwnd)
	c.ssthresh = max(c.ssthresh, c.before.ssthresh)
}

// OnPersistentCongestion falls to the minimum window.
func (c *NewReno) OnPersistentCongestion() {
	c.cwnd, c.recoveryStart, c.credit = c.minimum(), 0, 0
}
