package qpack

// staticIndex finds fields in the static table by their hashes: open addressing, index plus one, 0 for an empty place.
type staticIndex [256]uint8

var staticByName, staticByPair staticIndex

func init() {
	for i, e := range staticTable {
		name := hashString(e.name)
		pair := hashPair(name, hashString(e.value))
		staticByPair.put(pair, uint8(i+1))
		if staticName(e.name, name) < 0 { // of several the first, whose index is the shortest
			staticByName.put(name, uint8(i+1))
		}
	}
}

func (x *staticIndex) put(hash uint64, v uint8) {
	i := uint8(hash)
	for x[i] != 0 {
		i++
	}
	x[i] = v
}

// staticName returns the index of the first entry that has the name, -1 if none has.
func staticName(name string, hash uint64) int {
	for i := uint8(hash); staticByName[i] != 0; i++ {
		if j := int(staticByName[i]) - 1; staticTable[j].name == name {
			return j
		}
	}
	return -1
}

// staticPair returns the index of the entry that has name and value, -1 if there is none.
func staticPair(f *Field, hash uint64) int {
	for i := uint8(hash); staticByPair[i] != 0; i++ {
		if j := int(staticByPair[i]) - 1; staticTable[j].name == f.Name && staticTable[j].value == f.Value {
			return j
		}
	}
	return -1
}
