package main

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestTheJournalIsKnownByItsInode(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	info, err := w.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	for stream, want := range map[string]bool{
		"": false, "1:1": false, "x": false,
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true,
	} {
		if got := journal(w, stream); got != want {
			t.Errorf("JOURNAL_STREAM=%q: %v", stream, got)
		}
	}
}
