package main

import "testing"

func TestGarbageGrowsByTheHeadroomOrByTheLeastPercentage(t *testing.T) {
	for live, want := range map[uint64]int{0: 100, 1 << 20: 100, 6 << 20: 100, 12 << 20: 50, 40 << 20: 15, 1 << 40: 15} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes in use: %d%%, not %d%%", live, got, want)
		}
	}
}

// The program goes on from its file once its pages are given back.
func TestWhatIsGivenBackComesAgain(t *testing.T) {
	for range 3 {
		giveBack()
		if got := gcPercent(0); got != mostPercent {
			t.Fatalf("got %d", got)
		}
	}
}
