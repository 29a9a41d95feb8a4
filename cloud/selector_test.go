package cloud_test

import (
	"strings"
	"testing"

	"lodge/cloud"
)

func TestSelectorsAreReadAsKubernetesSpellsThem(t *testing.T) {
	for text, want := range map[string]string{
		"env=prod":                  "env=prod",
		"env==prod":                 "env=prod",
		" env = prod , tier != db ": "env=prod,tier!=db",
		"zone in (b, a,a)":          "zone in (a,b)",
		"zone in(a)":                "zone=a",
		"app notin (x)":             "app!=x",
		"app notin (y,x)":           "app notin (x,y)",
		"owner,!legacy, ! old":      "owner,!legacy,!old",
		"env=":                      "env=",
		"env=,tier=db":              "env=,tier=db",
		"env in (,a)":               "env in (,a)",
		"in in (in),notin":          "in=in,notin",
		"example.org/env=prod":      "example.org/env=prod",
	} {
		s, err := cloud.ParseSelector(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: got %q, %v, want %q", text, s, err, want)
		}
	}
}

func TestWhatIsNoSelectorIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", ",", "env=prod,", ",env=prod", "env=prod tier=db", "=prod", "!", "!!a", "!a=b", "a in", "a in b", "a in (", "a in (b", "a in (b c)",
		"a in (b))", "a(b)", "a>1", "a = = b", "a===b", "-a=b", "a=b/c", "a=b-", "a=ä", "/a=b", "a/=b", "a=" + strings.Repeat("x", 64),
		"a='b'", "a=%", "a=b;c", "a\n=b", strings.Repeat("a,", 16) + "a", strings.Repeat("x", 3000), "a in (" + strings.Repeat("b,", 64) + "b)",
	} {
		s, err := cloud.ParseSelector(text)
		if cloud.CodeOf(err) != cloud.CodeInvalid {
			t.Errorf("%q: got %q, %v", text, s, err)
			continue
		}
		if m := cloud.MessageOf(err); !strings.HasSuffix(m, ".") || len(m) > 300 {
			t.Errorf("%q: %q is no sentence", text, m)
		}
	}
}

func TestWhatASelectorFits(t *testing.T) {
	labels := map[string]string{"env": "prod", "zone": "a", "empty": ""}
	for text, want := range map[string]bool{
		"env=prod":              true,
		"env=test":              false,
		"env!=test":             true,
		"env!=prod":             false,
		"nothing!=prod":         true, // as in Kubernetes: it has no such label
		"nothing=prod":          false,
		"zone in (a,b)":         true,
		"zone in (b,c)":         false,
		"zone notin (b,c)":      true,
		"zone notin (a,c)":      false,
		"nothing notin (a)":     true,
		"env":                   true,
		"nothing":               false,
		"!env":                  false,
		"!nothing":              true,
		"empty":                 true,
		"empty=":                true,
		"nothing=":              false,
		"env=prod,zone=a,empty": true,
		"env=prod,zone=b":       false,
	} {
		s, err := cloud.ParseSelector(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := s.Fits(labels); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
	if !cloud.Selector(nil).Fits(nil) {
		t.Error("an empty selector does not fit everything")
	}
}

// Whatever the text, it is refused with a sentence or is a selector that reads
// back as itself and that only names labels an object could have.
func FuzzParseSelector(f *testing.F) {
	for _, text := range []string{
		"env=prod,tier!=db,zone in (a,b),app notin (x),has,!hasnot", "a in (,)", "a==b", "! a", "a in(b)", "a,,b", "((", "a!b", "\x00=\xff", "example.org/a=b",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := cloud.ParseSelector(text)
		if err != nil {
			if m := cloud.MessageOf(err); cloud.CodeOf(err) != cloud.CodeInvalid || !strings.HasSuffix(m, ".") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := cloud.ParseSelector(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is %q, which is %q, %v", text, s, again, err)
		}
		labels := map[string]string{}
		for _, term := range s {
			if term.Op == cloud.TermIn {
				labels[term.Key] = term.Values[0]
			}
			for _, v := range append(term.Values, "") {
				if bad := cloud.ValidateLabel("label", term.Key, v); bad != nil {
					t.Fatalf("%q names what is no label: %v", text, bad)
				}
			}
		}
		if s.Fits(labels) != again.Fits(labels) {
			t.Fatalf("%q and %q differ", s, again)
		}
	})
}
