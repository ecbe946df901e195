package handshake

// MaxParsed is maxParsed, for tests.
const MaxParsed = maxParsed

// Parsed returns how many certificates of peers x keeps.
func (x *Context) Parsed() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.parsed)
}
