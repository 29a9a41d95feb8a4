package cloud

import "testing"

func TestBridgeNameFitsLinux(t *testing.T) {
	for id, want := range map[string]string{
		"0c9d6a52-8a0e-4cc4-8f6e-5d2c1b0a9f88": "ldg5d2c1b0a9f88",
		"ab":                                   "ldgab",
		"":                                     "ldg",
	} {
		if got := BridgeName(id); got != want || len(got) > 15 {
			t.Errorf("bridge of %q is %q, want %q", id, got, want)
		}
	}
}
