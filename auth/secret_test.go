package auth

import (
	"strings"
	"testing"
)

func TestANewSecretIsWellFormedAndLikeNoOther(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		s := NewSecret()
		if !WellFormed(s) || len(s) != secretLength || seen[s] {
			t.Fatal(s)
		}
		seen[s] = true
	}
}

// Secrets that were given out stay good: the form is a promise.
func TestTheFormOfSecretsStays(t *testing.T) {
	body := secretPrefix + strings.Repeat("0123456789abcdef", 4)
	s := body + "_" + check(body)
	if s != "lodge_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef_4a3edd95" || !WellFormed(s) {
		t.Error(s)
	}
	if got := HashSecret("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" { // FIPS 180-2, B.1
		t.Error(got)
	}
}

func TestAMistypedSecretIsNotWellFormed(t *testing.T) {
	s := NewSecret()
	for i := range len(s) {
		for _, c := range []byte{'0', 'f', 'F', '_', 'g', 0, 0xff} {
			if c == s[i] {
				continue
			}
			if bad := s[:i] + string([]byte{c}) + s[i+1:]; WellFormed(bad) {
				t.Errorf("%q", bad)
			}
		}
	}
	for i := len(secretPrefix); i+1 < len(s)-9; i++ {
		swapped := s[:i] + s[i+1:i+2] + s[i:i+1] + s[i+2:]
		if swapped != s && WellFormed(swapped) {
			t.Errorf("%q", swapped)
		}
	}
	other := secretPrefix + strings.Repeat("Z", 2*secretBytes)
	for _, bad := range []string{"", s + "0", s[1:], s + "\n", " " + s, strings.ToUpper(s), other + "_" + check(other)} {
		if WellFormed(bad) {
			t.Errorf("%q", bad)
		}
	}
}

func FuzzWellFormed(f *testing.F) {
	f.Add(NewSecret())
	f.Add("")
	f.Add(secretPrefix)
	f.Add(strings.Repeat("_", secretLength))
	f.Add(secretPrefix + strings.Repeat("é", 36) + "x")
	f.Fuzz(func(t *testing.T, s string) {
		if !WellFormed(s) {
			return
		}
		body, sum, ok := strings.Cut(strings.TrimPrefix(s, secretPrefix), "_")
		if !ok || len(body) != 2*secretBytes || check(secretPrefix+body) != sum {
			t.Errorf("%q", s)
		}
	})
}
