package cert

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/cloud"
)

func TestTheCertificateIsRenewedInItsLastThird(t *testing.T) {
	c := newClock()
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}, Now: c.now}
	s := mustOpen(t, o)
	addr, client := serve(t, s), pinned(t, s, c)
	first := mustMeet(t, addr, client)

	c.add(243 * day)
	if !mustMeet(t, addr, client).Equal(first) {
		t.Fatal("renewed too early")
	}
	c.add(day)
	second := mustMeet(t, addr, client)
	if second.Equal(first) || second.NotAfter.Sub(c.now()) != leafLife {
		t.Fatalf("not renewed: until %s", second.NotAfter)
	}
	// Nobody came for two years.
	c.add(2 * 365 * day)
	third := mustMeet(t, addr, client)
	if third.Equal(second) {
		t.Fatal("not renewed after its end")
	}
	again := mustOpen(t, o)
	if !again.present.Load().Leaf.Equal(third) || again.Fingerprint() != s.Fingerprint() {
		t.Error("the next start made another certificate")
	}
}

func TestAStartRenewsWhatIsDue(t *testing.T) {
	c := newClock()
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}, Now: c.now}
	first := mustOpen(t, o)
	c.add(300 * day)
	second := mustOpen(t, o)
	if second.present.Load().Leaf.Equal(first.present.Load().Leaf) || second.Fingerprint() != first.Fingerprint() {
		t.Error("the certificate was to be another and the CA the same")
	}
}

func TestARestartSendsTheCAAlongToo(t *testing.T) {
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}}
	first := mustOpen(t, o)
	chain, err := meet(serve(t, mustOpen(t, o)), pinned(t, first, nil))
	if err != nil || len(chain) != 2 || fingerprint(chain[1]) != first.Fingerprint() {
		t.Errorf("%d certificates, %v", len(chain), err)
	}
}

func TestACertificateByAnotherCAIsReplaced(t *testing.T) {
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}}
	whole := finished(t, o)
	whole[serverFile] = finished(t, Options{Dir: t.TempDir(), Hosts: o.Hosts})[serverFile]
	o.Dir = put(t, whole)
	s := mustOpen(t, o)
	mustMeet(t, serve(t, s), pinned(t, s, nil))
}

func TestARenewalHasANewKey(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}, Now: c.now})
	first := s.present.Load().Leaf
	c.add(300 * day)
	if second := s.certificate().Leaf; string(second.RawSubjectPublicKeyInfo) == string(first.RawSubjectPublicKeyInfo) {
		t.Error("the key stayed")
	}
}

func TestOtherHostsAreANewCertificateAtTheNextStart(t *testing.T) {
	o := Options{Dir: t.TempDir(), Hosts: []string{"a.example.com", "10.0.0.1"}}
	first := mustOpen(t, o)
	o.Hosts = []string{"10.0.0.1", "A.example.com", "10.0.0.1"}
	if same := mustOpen(t, o); !same.present.Load().Leaf.Equal(first.present.Load().Leaf) {
		t.Error("the same hosts, written otherwise, made another certificate")
	}
	o.Hosts = []string{"b.example.com", "10.0.0.1"}
	if got := hostsOf(mustOpen(t, o).present.Load().Leaf); !slices.Equal(got, []string{"10.0.0.1", "b.example.com"}) {
		t.Errorf("for %v", got)
	}
}

func TestANewAddressOfTheMachineIsInTheCertificateSoon(t *testing.T) {
	c := newClock()
	hosts := []string{"localhost", "127.0.0.1"}
	s, err := open(Options{Dir: t.TempDir(), Now: c.now}, func() []string { return hosts })
	if err != nil {
		t.Fatal(err)
	}
	hosts = append(hosts, "192.0.2.7")
	if s.certificate().Leaf.VerifyHostname("192.0.2.7") == nil {
		t.Error("the machine is asked at every handshake")
	}
	c.add(ownEvery)
	if err := s.certificate().Leaf.VerifyHostname("192.0.2.7"); err != nil {
		t.Error(err)
	}
}

func TestACertificateIsDueForAReason(t *testing.T) {
	now := newClock().now()
	ca := &x509.Certificate{NotAfter: now.Add(1000 * day)}
	for _, c := range []struct {
		name        string
		from, until time.Duration
		hosts       []string
		due         bool
	}{
		{"fresh", 0, 300 * day, []string{"a"}, false},
		{"a third and a bit left", -200 * day, 101 * day, []string{"a"}, false},
		{"less than a third left", -200 * day, 99 * day, []string{"a"}, true},
		{"over", -400 * day, -day, []string{"a"}, true},
		{"made by a clock ahead", day, 300 * day, []string{"a"}, true},
		{"one host more", 0, 300 * day, []string{"a", "b"}, true},
		{"lasts as long as the CA", -2000 * day, 1000 * day, []string{"a"}, false},
	} {
		leaf := &x509.Certificate{NotBefore: now.Add(c.from), NotAfter: now.Add(c.until), DNSNames: []string{"a"}}
		if due(leaf, ca, c.hosts, now) != c.due {
			t.Errorf("%s: not %v", c.name, c.due)
		}
	}
}

func TestNoCertificateOutlivesItsCA(t *testing.T) {
	c := newClock()
	log := new(logged)
	o := Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}, Now: c.now, Log: log.logger()}
	s := mustOpen(t, o)
	c.add(s.ca.cert.NotAfter.Sub(c.now()) - time.Hour)
	last := s.certificate().Leaf
	if !last.NotAfter.Equal(s.ca.cert.NotAfter) {
		t.Fatalf("until %s", last.NotAfter)
	}
	for range 3 {
		c.add(19 * time.Minute)
		if !s.certificate().Leaf.Equal(last) {
			t.Fatal("renewed although it cannot last longer")
		}
	}
	mustOpen(t, o)
	if log.count("ends within a year") != 1 {
		t.Error("the end of the CA was not announced")
	}
	c.add(2 * time.Hour)
	s.certificate() // must not panic; there is nothing better to serve
	_, err := Open(o)
	wantCode(t, err, cloud.CodeConflict)
}

func TestARenewalThatCannotBeWrittenServesAllTheSame(t *testing.T) {
	c := newClock()
	log := new(logged)
	dir := filepath.Join(t.TempDir(), "cert")
	s := mustOpen(t, Options{Dir: dir, Hosts: []string{"127.0.0.1"}, Now: c.now, Log: log.logger()})
	addr, client := serve(t, s), pinned(t, s, c)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	c.add(400 * day)
	mustMeet(t, addr, client)
	if log.count("certificate not as it should be") != 1 {
		t.Error("the failure was not told")
	}
}

func TestManyConnectAtTheTimeOfARenewal(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Hosts: []string{"127.0.0.1"}, Now: c.now})
	addr, client := serve(t, s), pinned(t, s, c)
	c.add(300 * day)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 4 {
				if _, err := meet(addr, client); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestWithoutHostsTheMachinesOwnAreTaken(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	leaf := s.present.Load().Leaf
	for _, h := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := leaf.VerifyHostname(h); err != nil {
			t.Error(err)
		}
	}
	for _, ip := range leaf.IPAddresses {
		if ip.IsLinkLocalUnicast() {
			t.Errorf("%s is for one link only", ip)
		}
	}
	mustMeet(t, serve(t, s), pinned(t, s, nil))
}

func TestGuestsInterfacesAreNotTheMachines(t *testing.T) {
	for name, guests := range map[string]bool{
		cloud.BridgeName("0190f3c4-0000-7000-8000-a1b2c3d4e5f6"): true, "virbr0": true, "vnet12": true,
		"eth0": false, "enp1s0": false, "br0": false, "wg0": false,
	} {
		if ofGuests(name) != guests {
			t.Errorf("%s: not %v", name, guests)
		}
	}
}

func TestHostsThatAreNoneAreRefused(t *testing.T) {
	for _, h := range []string{"", "https://api.example.com", "api.example.com:8443", "api example", "-a.com", "a..b", "bücher.example", "fe80::1%eth0", "*.*.com", strings.Repeat("a", 64)} {
		_, err := Open(Options{Dir: t.TempDir(), Hosts: []string{h}})
		wantCode(t, err, cloud.CodeInvalid)
	}
	_, err := Open(Options{Hosts: []string{"a"}})
	wantCode(t, err, cloud.CodeInvalid)
}
