package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// A config file sets flags or is one sentence.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"workers: 4\n", "import-allow: [10.0.0.0/8]\n", "a: &a [*a]\n", "? x\n", "workers: {a: b}\n", "- a\n", "", "sim: yes\n---\nsim: no\n", "\x00", "rate-limit: 1e3\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := settings(b)
		if err != nil {
			if s := sentence(err); strings.ContainsAny(s, "\r\n") || !strings.HasSuffix(s, ".") {
				t.Errorf("%q", s)
			}
			return
		}
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		new(flags).register(fs)
		for name, v := range values {
			if err := setOne(fs, name, v); err == nil && (fs.Lookup(name) == nil || name == "config") {
				t.Errorf("%q is a setting", name)
			}
		}
	})
}
