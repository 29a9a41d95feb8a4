package network

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"lodge/cloud"
)

func TestABookGivesBackWhatWasWrittenAndNothingElse(t *testing.T) {
	b := &book{dir: t.TempDir() + "/new", pidDir: t.TempDir()}
	want := map[string]cloud.PortSpec{}
	for i := range 3 {
		mac := fmt.Sprintf("52:54:00:00:00:%02x", i)
		want[mac] = cloud.PortSpec{MAC: mac, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)}), Name: []string{"web1", "", "db-2"}[i]}
	}
	changed, err := b.change("x", func(ports map[string]cloud.PortSpec) bool {
		for _, p := range want {
			put(ports, p)
		}
		return true
	})
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if got, err := b.read("x"); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := b.read("y"); err != nil || len(got) != 0 {
		t.Errorf("another network: %v, %v", got, err)
	}
	text, _ := os.ReadFile(b.path("x"))
	if err := b.touch("x"); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(b.path("x")); string(again) != string(text) {
		t.Error("touch changed the book")
	}
	for range 2 {
		if err := b.remove("x"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPutReplacesWhatTheMACTheAddressAndTheNameHadBefore(t *testing.T) {
	addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }
	start := func() map[string]cloud.PortSpec {
		return map[string]cloud.PortSpec{
			"a": {MAC: "a", Address: addr(1), Name: "one"},
			"b": {MAC: "b", Address: addr(2), Name: "two"},
		}
	}
	for _, c := range []struct {
		name    string
		p       cloud.PortSpec
		left    int
		old     []lease
		changed bool
	}{
		{"as it is", cloud.PortSpec{MAC: "a", Address: addr(1), Name: "one"}, 2, nil, false},
		{"new", cloud.PortSpec{MAC: "c", Address: addr(3), Name: "three"}, 3, nil, true},
		{"other address", cloud.PortSpec{MAC: "a", Address: addr(3), Name: "one"}, 2, []lease{{"a", addr(1)}}, true},
		{"other name", cloud.PortSpec{MAC: "a", Address: addr(1), Name: "uno"}, 2, nil, true},
		{"address of another", cloud.PortSpec{MAC: "c", Address: addr(2), Name: "three"}, 2, []lease{{"b", addr(2)}}, true},
		{"name of another", cloud.PortSpec{MAC: "c", Address: addr(3), Name: "TWO"}, 2, []lease{{"b", addr(2)}}, true},
	} {
		ports := start()
		old, changed := put(ports, c.p)
		if len(ports) != c.left || changed != c.changed || fmt.Sprint(old) != fmt.Sprint(c.old) || ports[c.p.MAC] != c.p {
			t.Errorf("%s: %v, old %v, changed %v", c.name, ports, old, changed)
		}
	}
}

func TestAPortThatWouldSayMoreToDnsmasqIsRefused(t *testing.T) {
	addr := netip.MustParseAddr("10.0.0.9")
	for _, p := range []cloud.PortSpec{
		{MAC: "52:54:00:00:00:01", Address: addr, Name: "a,ignore"},
		{MAC: "52:54:00:00:00:01", Address: addr, Name: "a\n52:54:00:00:00:02,10.0.0.1"},
		{MAC: "52:54:00:00:00:01", Address: addr, Name: "infinite"},
		{MAC: "52:54:00:00:00:01", Address: addr, Name: "ignore"},
		{MAC: "52:54:00:00:00:01", Address: addr, Name: "12h"},
		{MAC: "52:54:00:00:00:01", Address: addr, Name: "3600"},
		{MAC: "52:54:00:00:00:*", Address: addr, Name: "web"},
		{MAC: "", Address: addr, Name: "web"},
		{MAC: "52:54:00:00:00:01", Address: netip.MustParseAddr("::1"), Name: "web"},
		{MAC: "52:54:00:00:00:01", Name: "web"},
	} {
		if _, err := checkPort(p); err == nil {
			t.Errorf("%+v passes", p)
		}
	}
	for _, name := range []string{"", "web1", "1web", "h", "12hosts", "Db-2"} {
		p, err := checkPort(cloud.PortSpec{MAC: "52:54:00:00:00:0A", Address: addr, Name: name})
		if err != nil || p.MAC != "52:54:00:00:00:0a" {
			t.Errorf("%q: %+v, %v", name, p, err)
		}
	}
}

// The folder of the books is libvirt's too: no link leads lodge to another file, and
// dnsmasq reads what lodge wrote under whatever umask.
func TestABookIsWrittenThroughNoLink(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	b := &book{dir: t.TempDir(), pidDir: t.TempDir()}
	add := func() error {
		_, err := b.change("x", func(ports map[string]cloud.PortSpec) bool {
			put(ports, cloud.PortSpec{MAC: fmt.Sprintf("52:54:00:00:00:%02x", len(ports)), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + len(ports))})})
			return true
		})
		return err
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(b.path("x")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
	other := t.TempDir() + "/lodge.db"
	if err := os.WriteFile(other, []byte("rows"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, b.path("x")+".new"); err != nil {
		t.Fatal(err)
	}
	if err := add(); err == nil {
		t.Error("a link was followed")
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "rows" {
		t.Errorf("%q, %v", text, err)
	}
}
