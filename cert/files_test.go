package cert

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"lodge/cloud"
)

// given makes a pair of files as an operator has them.
type given struct {
	cert, key string
}

func newGiven(t *testing.T) given {
	dir := t.TempDir()
	return given{cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key")}
}

// pair gives a certificate and its key in PEM, and who signed it.
func pair(t *testing.T) (cert, key []byte, by *Source) {
	t.Helper()
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}}
	by = mustOpen(t, o)
	b, err := os.ReadFile(filepath.Join(o.Dir, serverFile))
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b, []byte("-----BEGIN PRIVATE"))
	return b[:i], b[i:], by
}

func (g given) put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestGivenFilesWinAndAreReadAgainWhenTheyChange(t *testing.T) {
	c := newClock()
	log := new(logged)
	g := newGiven(t)
	cert1, key1, by1 := pair(t)
	g.put(t, g.cert, cert1)
	g.put(t, g.key, key1)
	dir := filepath.Join(t.TempDir(), "unused")
	s := mustOpen(t, Options{Dir: dir, CertFile: g.cert, KeyFile: g.key, ACME: &ACMEOptions{}, Now: c.now, Log: log.logger()})
	addr := serve(t, s)
	first := mustMeet(t, addr, pinned(t, by1, nil))
	if _, ok := s.CA(); ok || s.Fingerprint() != fingerprint(first) {
		t.Error("a given certificate has no CA of lodge's, and its own fingerprint")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a CA was made that nobody needs")
	}

	cert2, key2, by2 := pair(t)
	g.put(t, g.cert, cert2)
	g.put(t, g.key, key2)
	mustMeet(t, addr, pinned(t, by1, nil)) // not looked at again so soon
	c.add(filesEvery)
	second := mustMeet(t, addr, pinned(t, by2, nil))
	if s.Fingerprint() != fingerprint(second) {
		t.Error("the fingerprint is the old one's")
	}
	for range 3 {
		c.add(filesEvery)
		mustMeet(t, addr, pinned(t, by2, nil))
	}
	if log.count("certificate replaced") != 1 || log.count("acme is not used") != 1 {
		t.Error("the log does not tell")
	}
}

func TestBrokenFilesLeaveTheOldCertificate(t *testing.T) {
	cert1, key1, by1 := pair(t)
	cert2, key2, by2 := pair(t)
	for name, breakIt := range map[string]func(g given){
		"the key is still the old one":  func(g given) { g.put(t, g.cert, cert2) },
		"the certificate is still that": func(g given) { g.put(t, g.key, key2) },
		"half a certificate":            func(g given) { g.put(t, g.cert, cert2[:len(cert2)/2]) },
		"an empty key":                  func(g given) { g.put(t, g.key, nil) },
		"no certificate":                func(g given) { _ = os.Remove(g.cert) },
		"a folder for a key":            func(g given) { _ = os.Remove(g.key); _ = os.Mkdir(g.key, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			log := new(logged)
			g := newGiven(t)
			g.put(t, g.cert, cert1)
			g.put(t, g.key, key1)
			s := mustOpen(t, Options{CertFile: g.cert, KeyFile: g.key, Now: c.now, Log: log.logger()})
			addr := serve(t, s)
			breakIt(g)
			for range 3 {
				c.add(filesEvery)
				mustMeet(t, addr, pinned(t, by1, nil))
			}
			if n := log.count("certificate not as it should be"); n != 1 {
				t.Errorf("told %d times", n)
			}
			_ = os.Remove(g.key)
			g.put(t, g.cert, cert2)
			g.put(t, g.key, key2)
			c.add(filesEvery)
			mustMeet(t, addr, pinned(t, by2, nil))
		})
	}
}

func TestFilesOfNoUseAreRefusedAtTheStart(t *testing.T) {
	cert1, key1, _ := pair(t)
	_, key2, _ := pair(t)
	for name, c := range map[string]struct{ cert, key []byte }{
		"nothing there":  {nil, nil},
		"two of others":  {cert1, key2},
		"the other way":  {key1, cert1},
		"half a key":     {cert1, key1[:len(key1)/2]},
		"what is no PEM": {[]byte("no"), key1},
		"no key at all":  {cert1, nil},
		"no certificate": {nil, key1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGiven(t)
			if c.cert != nil {
				g.put(t, g.cert, c.cert)
			}
			if c.key != nil {
				g.put(t, g.key, c.key)
			}
			_, err := Open(Options{CertFile: g.cert, KeyFile: g.key})
			wantCode(t, err, cloud.CodeInvalid)
		})
	}
	for _, o := range []Options{{CertFile: "a"}, {KeyFile: "a"}} {
		_, err := Open(o)
		wantCode(t, err, cloud.CodeInvalid)
	}
}

func TestAGivenCertificateThatIsOverIsServedAndToldOf(t *testing.T) {
	c := newClock()
	log := new(logged)
	g := newGiven(t)
	cert, key, _ := pair(t)
	g.put(t, g.cert, cert)
	g.put(t, g.key, key)
	c.add(10 * 365 * day)
	mustOpen(t, Options{CertFile: g.cert, KeyFile: g.key, Now: c.now, Log: log.logger()})
	if log.count("certificate is over") != 1 {
		t.Error("the log does not tell")
	}
}
