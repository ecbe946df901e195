package wire

import (
	"reflect"
	"slices"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// AppendAck keeps to its limit, always has the newest range, and leaves out no range that would have fitted.
func TestAppendAckLimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		ranges []ranges.Range
		delay  uint64
		ecn    *ECNCounts
	}{
		{name: "one", ranges: spans(5, 10)},
		{name: "three", ranges: spans(5, 10, 20, 1000, 20000, 20001), delay: 1 << 20},
		{name: "many", ranges: manyRanges(roomForRanges).Ranges},
		{name: "many, with ECN counts", ranges: manyRanges(roomForRanges).Ranges, ecn: &ECNCounts{ECT0: 70, CE: 1 << 20}},
		{name: "more than are written", ranges: manyRanges(100).Ranges},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, ok := AppendAck(nil, c.ranges, c.delay, c.ecn, 1<<20)
			if !ok {
				t.Fatal("no room in a megabyte")
			}
			newest, _ := AppendAck(nil, c.ranges[len(c.ranges)-1:], c.delay, c.ecn, 1<<20)
			before := 0 // ranges written with one byte less
			for limit := range len(whole) + 3 {
				b, ok := AppendAck([]byte{0xee}, c.ranges, c.delay, c.ecn, limit)
				if !ok {
					if len(b) != 1 || limit >= len(newest) {
						t.Fatalf("limit %d: not written, %d bytes left behind; the newest range takes %d", limit, len(b)-1, len(newest))
					}
					continue
				}
				f, n := consumeAny(b[1:])
				if n != len(b)-1 || n > limit {
					t.Fatalf("limit %d: %d bytes, %d of them parsed", limit, len(b)-1, n)
				}
				got := f.(ackFrame)
				want := c.ranges[len(c.ranges)-len(got.Ranges):]
				if !slices.Equal(got.Ranges, want) || got.DelayRaw != c.delay || got.HasECN != (c.ecn != nil) {
					t.Fatalf("limit %d: %+v, want the newest ranges %v", limit, got, want)
				}
				if len(got.Ranges) < before {
					t.Fatalf("limit %d: %d ranges, one byte less had room for %d", limit, len(got.Ranges), before)
				}
				before = len(got.Ranges)
				if next := len(c.ranges) - before - 1; next >= 0 && before < roomForRanges {
					gap, length := gapAndLength(c.ranges, next)
					if n+SizeVarint(gap)+SizeVarint(length) <= limit {
						t.Fatalf("limit %d: %d bytes and %d ranges, although range %d would fit", limit, n, before, next)
					}
				}
			}
			if want := min(len(c.ranges), roomForRanges); before != want {
				t.Errorf("%d ranges without a limit, want %d", before, want)
			}
		})
	}
}

// Ranges beyond the capacity are left out, oldest first, but not unchecked, and what follows them is found.
func TestConsumeAckCapacity(t *testing.T) {
	f := manyRanges(20)
	f.HasECN, f.ECN = true, ECNCounts{ECT0: 9}
	b := f.append(nil)
	for capacity := range 25 {
		a, list, n := ConsumeAck(b, make([]ranges.Range, 0, capacity))
		if n != len(b) || !reflect.DeepEqual(a, f.Ack) {
			t.Errorf("capacity %d: length %d, %+v", capacity, n, a)
		}
		slices.Reverse(list)
		if want := f.Ranges[max(20-capacity, 0):]; !slices.Equal(list, want) {
			t.Errorf("capacity %d: %v, want %v", capacity, list, want)
		}
	}
	below := unhex(t, "02 0a 00 02 00 00 00 09 00") // the third range is below 0
	if _, _, n := ConsumeAck(below, make([]ranges.Range, 0, 1)); n != -1 {
		t.Errorf("a range below 0 beyond the capacity: length %d, want -1", n)
	}
	kept := append(make([]ranges.Range, 0, 3), ranges.Range{Start: 1, End: 2})
	if _, list, _ := ConsumeAck(b, kept); len(list) != 3 || list[0] != (ranges.Range{Start: 1, End: 2}) {
		t.Errorf("what was in the slice: %v", list)
	}
}
