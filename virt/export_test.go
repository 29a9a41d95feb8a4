package virt

// Idle is how many connections wait for a call.
func (l *Link) Idle() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.idle)
}
