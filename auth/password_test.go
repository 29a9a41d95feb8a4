package auth

import (
	"encoding/base64"
	"runtime"
	"strings"
	"testing"

	"lodge/cloud"
)

var cheap = Cost{Time: 1, MemoryKiB: 64, Threads: 1}

// From src/test.c of the reference implementation, github.com/P-H-C/phc-winner-argon2:
// "password" with the salt "somesalt".
const reference = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func TestOnlyTheRightPasswordIsVerified(t *testing.T) {
	h := HashPassword("correct horse battery", cheap)
	if !VerifyPassword("correct horse battery", h) {
		t.Error("the right one is refused")
	}
	for _, wrong := range []string{"", "correct horse batterx", "Correct horse battery", "correct horse battery "} {
		if VerifyPassword(wrong, h) {
			t.Errorf("%q passes", wrong)
		}
	}
	if HashPassword("correct horse battery", cheap) == h {
		t.Error("two hashes are the same: no salt")
	}
}

func TestAHashOfTheReferenceImplementationIsVerified(t *testing.T) {
	if !VerifyPassword("password", reference) || VerifyPassword("passwore", reference) {
		t.Error("not as it should be")
	}
}

func TestTheDefaultCostWorks(t *testing.T) {
	h := HashPassword("correct horse battery", Cost{})
	if !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") || !VerifyPassword("correct horse battery", h) {
		t.Error(h)
	}
	if len(h) > maxHash {
		t.Errorf("%d bytes", len(h))
	}
}

func TestACostBeyondTheLimitsIsCut(t *testing.T) {
	got := Cost{Time: 1 << 31, MemoryKiB: 1 << 31, Threads: 255}.bounded()
	if want := (Cost{maxTime, maxMemoryKiB, maxThreads}); got != want {
		t.Errorf("%+v", got)
	}
	if got := DefaultCost.bounded(); got != DefaultCost {
		t.Errorf("%+v", got)
	}
}

func TestADecoyIsNobodys(t *testing.T) {
	d := Decoy(cheap)
	if h, ok := readHash(d); !ok || h.cost != cheap || VerifyPassword("", d) || Decoy(cheap) == d {
		t.Error(d)
	}
}

func b64(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }

var damaged = map[string]string{
	"empty":               "",
	"dollars":             "$$$$$",
	"a word before":       "x" + reference,
	"a line after":        reference + "\n",
	"a line inside":       strings.Replace(reference, "c29t", "c29t\n", 1),
	"cut":                 reference[:len(reference)-1],
	"another algorithm":   strings.Replace(reference, "argon2id", "argon2i", 1),
	"another version":     strings.Replace(reference, "v=19", "v=16", 1),
	"a word in the cost":  strings.Replace(reference, "p=1", "p=1x", 1),
	"a sign in the cost":  strings.Replace(reference, "t=2", "t=+2", 1),
	"more in the cost":    strings.Replace(reference, "p=1", "p=1,keyid=x", 1),
	"no passes":           strings.Replace(reference, "t=2", "t=0", 1),
	"no threads":          strings.Replace(reference, "p=1", "p=0", 1),
	"no memory":           strings.Replace(reference, "m=256", "m=0", 1),
	"negative":            strings.Replace(reference, "m=256", "m=-1", 1),
	"4 TiB":               strings.Replace(reference, "m=256", "m=4294967295", 1),
	"a little too much":   strings.Replace(reference, "m=256", "m=262145", 1),
	"four billion passes": strings.Replace(reference, "t=2", "t=4294967295", 1),
	"too many threads":    strings.Replace(reference, "p=1", "p=256", 1),
	"no salt":             "$argon2id$v=19$m=256,t=2,p=1$$" + b64(32),
	"no key":              "$argon2id$v=19$m=256,t=2,p=1$" + b64(16) + "$",
	"a short key":         "$argon2id$v=19$m=256,t=2,p=1$" + b64(16) + "$" + b64(1),
	"a long key":          "$argon2id$v=19$m=256,t=2,p=1$" + b64(16) + "$" + b64(100),
	"a huge salt":         "$argon2id$v=19$m=256,t=2,p=1$" + b64(1<<20) + "$" + b64(32),
	"padding":             "$argon2id$v=19$m=256,t=2,p=1$" + b64(16) + "==$" + b64(32),
}

func TestADamagedHashIsNobodysAndCostsNothing(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, h := range damaged {
		if VerifyPassword("password", h) {
			t.Errorf("%s passes", name)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("%d bytes were taken", grown)
	}
}

func TestAPasswordIsNeitherShortNorLongNorTheName(t *testing.T) {
	for password, code := range map[string]cloud.Code{
		"":                                     cloud.CodeInvalid,
		"elevenchars":                          cloud.CodeInvalid,
		"twelve chars":                         "",
		strings.Repeat("ы", MinPassword-1):     cloud.CodeInvalid, // more bytes than characters
		strings.Repeat("ы", MinPassword):       "",
		strings.Repeat("a", MaxPassword):       "",
		strings.Repeat("a", MaxPassword+1):     cloud.CodeInvalid,
		"Alexandra-Maria":                      cloud.CodeInvalid,
		"alexandra-maria and something beyond": "",
	} {
		wantCode(t, CheckPassword("alexandra-maria", password), code)
	}
}

func FuzzReadHash(f *testing.F) {
	f.Add(reference)
	for _, h := range damaged {
		if len(h) < 1<<10 {
			f.Add(h)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := readHash(s)
		if ok && (h.cost.bounded() != h.cost || h.String() != s || len(h.key) < minPart || len(h.salt) > maxPart) {
			t.Errorf("%q is read as %+v", s, h)
		}
	})
}

func FuzzVerifyPassword(f *testing.F) {
	f.Add("password", reference)
	for _, h := range damaged {
		if len(h) < 1<<10 {
			f.Add("password", h)
		}
	}
	f.Fuzz(func(t *testing.T, password, s string) {
		if h, ok := readHash(s); ok && int(h.cost.MemoryKiB)*int(h.cost.Time) > 1<<10 {
			t.Skip("within the limits, and slow")
		}
		if VerifyPassword(password, s) && (password != "password" || !strings.Contains(s, "$c29tZXNhbHQ$")) {
			t.Errorf("%q passes with %q", password, s)
		}
	})
}
