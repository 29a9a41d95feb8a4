package store

import (
	"testing"
	"time"

	"lodge/cloud"
)

// A cursor is read or CodeInvalid; one that is read is written again alike.
func FuzzCursor(f *testing.F) {
	s, _ := spanOf(cloud.Page{}, "instances", "a")
	good := s.cursor(place{created: time.UnixMilli(1), id: "id"})
	for _, c := range []string{good, good[1:], good + "A", "", "djI6", "!!", "\x00"} {
		f.Add(c, "instances", "a")
	}
	f.Fuzz(func(t *testing.T, cursor, list, filter string) {
		s, err := spanOf(cloud.Page{Cursor: cursor}, list, filter)
		if err != nil {
			if cloud.CodeOf(err) != cloud.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		if !s.set {
			if cursor != "" {
				t.Errorf("%q is overlooked", cursor)
			}
			return
		}
		again, err := spanOf(cloud.Page{Cursor: s.cursor(place{created: time.UnixMilli(s.key.(int64)), id: s.id})}, list, filter)
		if err != nil || again != s {
			t.Errorf("%q: %+v and %+v, %v", cursor, s, again, err)
		}
		if _, err := spanOf(cloud.Page{Cursor: cursor}, list+"x", filter); err == nil {
			t.Errorf("%q is good for another list", cursor)
		}
	})
}
