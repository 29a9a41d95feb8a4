package main

import (
	"io"
	"path/filepath"
	"testing"
)

func TestAMistakeOnTheCommandLineExitsWithTwo(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"nope"}, 2},
		{[]string{"--nope"}, 2},
		{[]string{"--workers", "many"}, 2},
		{[]string{"--socket", ""}, 2},
		{[]string{"backup", "nope"}, 2},
		{[]string{"backup", "list", "nope"}, 2},
		{[]string{"backup", "show"}, 2},
		{[]string{"backup", "list", "--nope"}, 2},
		{[]string{"backup", "list", "-o", "xml"}, 2},
		{[]string{"backup", "restore"}, 2},
		{[]string{"doctor", "-o", "xml"}, 2},
		{[]string{"verify", "--head", "abc"}, 2},
		{[]string{"version", "nope"}, 2},
		{[]string{"verify", "--file", missing}, 1},
		{[]string{"backup", "list", "--backup-to", missing, "--config", missing}, 1},
	} {
		cmd := command()
		cmd.SetArgs(c.args)
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		err := cmd.ExecuteContext(t.Context())
		if err == nil {
			t.Errorf("lodged takes %q", c.args)
		} else if got := exitCode(err); got != c.want {
			t.Errorf("%q exits with %d, want %d: %v", c.args, got, c.want, err)
		}
	}
}
