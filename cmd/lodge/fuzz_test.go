package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of contexts is read, or refused without a word of what is in it.
func FuzzContexts(f *testing.F) {
	for _, s := range []string{"current: a\ncontexts:\n  a: {address: \"https://h\", token: lodge_secret}\n", "contexts: {a: null}\n", "contexts: null\n", "token: lodge_secret\n", "a: &a [*a]", "", "\x00"} {
		f.Add([]byte(s))
	}
	home := f.TempDir()
	a := &app{home: home, getenv: func(string) string { return "" }}
	path := filepath.Join(home, ".config", "lodge", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := a.readContexts()
		if err != nil {
			if err.Error() != path+" is not a file of contexts; put it right, or move it away and log in again." {
				t.Errorf("%q tells of %q", err, b)
			}
			return
		}
		for name, c := range got.Contexts {
			if c == nil {
				t.Errorf("context %q is nil", name)
			}
		}
	})
}

// A fingerprint is 64 digits or a mistake.
func FuzzFingerprint(f *testing.F) {
	f.Add(strings.Repeat("ab:", 31) + "ab")
	f.Add("SHA256:" + strings.Repeat("0", 64))
	f.Add("")
	f.Add(" : ")
	f.Fuzz(func(t *testing.T, s string) {
		sum, err := readFingerprint(s)
		if err == nil && s != "" && (len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "") {
			t.Errorf("%q is read as %q", s, sum)
		}
	})
}
