package quic

import (
	"math/rand/v2"
	"testing"
)

// A table holds what a map would, whether IDs are dense, far between or all of one place.
func TestStreamTable(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 8))
	for _, spread := range []uint64{1, 3, 1 << 12, 1 << 40} {
		var table streamTable
		model := make(map[uint64]*stream)
		var next uint64
		for i := range 20_000 {
			switch rng.IntN(5) {
			case 0, 1:
				if next++; len(model) < 300 {
					s := &stream{id: next*spread<<2 | rng.Uint64N(4)}
					if model[s.id] == nil {
						table.add(s)
						model[s.id] = s
					}
				}
			case 2, 3:
				for id, s := range model {
					table.remove(s)
					delete(model, id)
					break
				}
			default:
				if i%50 == 0 {
					table.fit()
				}
			}
			id := rng.Uint64N(next+1)*spread<<2 | rng.Uint64N(4)
			if got := table.get(id); got != model[id] {
				t.Fatalf("seed %#x: stream %d is %v, want %v", seed, id, got, model[id])
			}
			if i%100 == 0 {
				checkTable(t, seed, &table, model)
			}
		}
		table.all(func(s *stream) bool { // each is removed as it comes
			delete(model, s.id)
			table.remove(s)
			return true
		})
		if table.fit(); len(model) > 0 || table.len() > 0 || table.places != nil || table.crowded != nil {
			t.Fatalf("seed %#x: %d streams were not yielded, %d are left in %d places", seed, len(model), table.len(), len(table.places))
		}
	}
}

func checkTable(t *testing.T, seed uint64, table *streamTable, model map[uint64]*stream) {
	t.Helper()
	yielded := 0
	for s := range table.all {
		yielded++
		if model[s.id] != s {
			t.Fatalf("seed %#x: stream %d is yielded, and is not there", seed, s.id)
		}
	}
	for id, s := range model {
		if table.get(id) != s {
			t.Fatalf("seed %#x: stream %d is not found", seed, id)
		}
	}
	if yielded != len(model) || table.len() != len(model) || len(table.places) > 2048 {
		t.Fatalf("seed %#x: %d streams are yielded, %d counted, in %d places; there are %d", seed, yielded, table.len(), len(table.places), len(model))
	}
}

// Streams with IDs that follow each other stand alone, but for those few that come by the place of one that lives long; nor do the first ones of each type
// share a place.
func TestStreamTableIsDense(t *testing.T) {
	var table streamTable
	for i := range uint64(4) {
		for typ := range uint64(3) {
			table.add(&stream{id: i<<2 | typ + 1})
		}
	}
	if len(table.crowded) > 0 {
		t.Errorf("%d of the first streams share a place", len(table.crowded))
	}
	crowded := 0
	for i := range uint64(5000) {
		table.add(&stream{id: i << 2})
		crowded += len(table.crowded)
		if i >= 100 {
			table.remove(table.get((i - 100) << 2))
		}
	}
	if mean := float64(crowded) / 5000; mean > 7 || len(table.places) != 256 {
		t.Errorf("%.1f of 112 streams share a place of %d", mean, len(table.places))
	}
}
