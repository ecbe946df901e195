package quiclb

// UseUp has no nonces be left.
func (g *Generator) UseUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now.nonces.left = 0
}
