package virt

import (
	"strings"

	"lodge/cloud"
)

// Stats says how the link does now.
func (l *Link) Stats() cloud.LinkStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := cloud.LinkStats{Up: l.conn != nil, Connections: len(l.idle) + l.lent, Calls: len(l.slots), Dialed: l.dialed}
	if s.Up {
		s.Connections++
	}
	return s
}

// kind is what a call is for without the name of what it is about: the leading
// words of nothing but letters.
func kind(what string) string {
	var words []string
	for _, w := range strings.Fields(what) {
		if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
			break
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
