package h3

import (
	"fmt"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Stats counts what comes on the peer's QPACK streams, behind the types of these.
func TestStats(t *testing.T) {
	p := newScript(t, false, nil, false)
	before := p.side.Stats()
	encoder := p.uni(false, varint(streamQPACKEncoder))
	decoder := p.uni(false, varint(streamQPACKDecoder))
	if got := p.side.Stats(); got != before {
		t.Errorf("the types are counted: %+v, before %+v", got, before)
	}
	p.send(encoder, false, []byte{0x3f, 0x01}) // Set Dynamic Table Capacity to 32
	p.send(decoder, false, []byte{0x44}, []byte{0x48}, []byte{0x4c})
	if got, want := p.side.Stats(), (Stats{EncoderBytes: 2, DecoderBytes: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Config.MaxPriorityUpdate is how long a PRIORITY_UPDATE frame may be.
func TestMaxPriorityUpdate(t *testing.T) {
	for _, c := range []struct {
		most, size int
		want       ErrorCode
	}{{0, maxPriorityUpdate, 0}, {0, maxPriorityUpdate + 1, ErrCodeExcessiveLoad}, {9, 9, 0}, {9, 10, ErrCodeExcessiveLoad}} {
		name := fmt.Sprintf("%d bytes of %d", c.size, c.most)
		p := newScript(t, false, &Config{MaxPriorityUpdate: c.most}, false)
		payload := append(wire.AppendVarint(nil, 0), "u=1, x="...)
		for len(payload) < c.size {
			payload = append(payload, 'y')
		}
		p.send(p.control, false, frameOf(framePriorityUpdateRequest, payload[:c.size]))
		if c.want != 0 {
			p.wantClosed(c.want, name)
		} else if err := p.peer.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, most := range []int{-1, maxPriorityUpdate + 1} {
		if _, err := (&Config{MaxPriorityUpdate: most}).Prepare(); err == nil {
			t.Errorf("MaxPriorityUpdate %d is taken", most)
		}
	}
}
