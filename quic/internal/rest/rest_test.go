package rest

import "testing"

func TestState(t *testing.T) {
	for _, c := range []struct {
		state        State
		woke, active int64
		busy         bool
		at           int64
	}{
		{New, 7, 7, false, 7 + First},
		{New, 7, 7, true, 7 + Every},
		{New, 7, 9 * Every, false, 9*Every + First},
		{0, 4*Every + 1, 4*Every + 1, false, 5*Every + 1},
		{0, 4*Every + 1, 4*Every + 1, true, 5*Every + 1},
		{0, 4*Every + 1, 3 * Every, false, 5 * Every}, // what woke it was nothing that counts
		{0, 4*Every + 1, 6 * Every, false, 7 * Every},
	} {
		s := c.state
		s.Wake(c.woke)
		s.Wake(c.active)
		if at := s.At(c.active, c.busy); at != c.at {
			t.Errorf("%+v: it rests at %d", c, at)
		}
	}
	if at := State(0).At(7, false); at != 0 {
		t.Errorf("one at rest rests at %d", at)
	}
}
