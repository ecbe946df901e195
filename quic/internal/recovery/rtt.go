package recovery

import "time"

// granularity is the timer granularity that RFC 9002 calls kGranularity.
const granularity = time.Millisecond

// RTT estimates a path's round-trip time (RFC 9002, section 5).
type RTT struct {
	Latest, Smoothed, Var, Min time.Duration
	sampled                    bool
}

// NewRTT returns an estimate that stands for initial until the first sample (section 5.3, 6.2.2).
func NewRTT(initial time.Duration) RTT { return RTT{Smoothed: initial, Var: initial / 2} }

// HasSample tells whether there was a sample.
func (r *RTT) HasSample() bool { return r.sampled }

// update takes a sample. ackDelay is what the peer reports, already bounded by its max_ack_delay.
func (r *RTT) update(latest, ackDelay time.Duration) {
	r.Latest = max(latest, 1)
	if !r.sampled {
		r.sampled = true
		r.Min, r.Smoothed, r.Var = r.Latest, r.Latest, r.Latest/2
		return
	}
	r.Min = min(r.Min, r.Latest)
	adjusted := r.Latest
	if adjusted >= r.Min+ackDelay {
		adjusted -= ackDelay
	}
	r.Var = (3*r.Var + (r.Smoothed - adjusted).Abs()) / 4
	r.Smoothed = (7*r.Smoothed + adjusted) / 8
}

// pto is the probe timeout without the peer's max_ack_delay (section 6.2.1).
func (r *RTT) pto() time.Duration { return r.Smoothed + max(4*r.Var, granularity) }
