package virt

import "testing"

func TestTheKindOfACallHasNoNames(t *testing.T) {
	for what, want := range map[string]string{
		"look at guests": "look at guests",
		"ensure network 0192f0c4-7a52-7c1e-9f3a-3a1f6f0d2b11": "ensure network",
		"ensure port 52:54:00:12:34:56":                       "ensure port",
		"forget volume seed-0192f0c4.img":                     "forget volume",
		"":                                                    "",
	} {
		if got := kind(what); got != want {
			t.Errorf("%q is %q, want %q", what, got, want)
		}
	}
}
