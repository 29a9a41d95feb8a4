package main

import (
	"os"
	"strings"
	"sync"
	"testing"
)

func TestTheURLOfALoginIsLookedAtFirst(t *testing.T) {
	d := startLodged(t, "127.0.0.1:0")
	b := person(t)
	login := func(url string) string {
		return "login " + url + " --user operator --password-stdin --fingerprint " + d.fingerprint
	}
	b.must(t, exitOK, login("https://"+d.addr), d.password)
	for url, words := range map[string]string{
		"https://" + d.addr + "/x?y=1":       "more than scheme, host, port and path",
		"https://u:p@" + d.addr:              "more than scheme, host, port and path",
		"ftp://" + d.addr:                    "neither the path of a socket nor an http URL",
		"http://192.0.2.1:8443":              "plain http is for loopback addresses",
		"http://127.0.0.1.evil.example":      "plain http is for loopback addresses",
		"http://localhost.evil.example:8443": "plain http is for loopback addresses",
		d.addr:                               "Give the URL of lodged",
		"/run/lodge/lodge.sock":              "Give the URL of lodged",
		"https://":                           "Give the URL of lodged",
		"https://127.0.0.1:8443\x1b[2J":      "Give the URL of lodged",
		"https://127.0.0.1:8443#fragment":    "more than scheme",
	} {
		if said := b.must(t, exitUsage, login(url), d.password); !strings.Contains(said, words) || strings.Contains(said, "\x1b") {
			t.Errorf("%q: %s", url, said)
		}
	}
	// One lodged is one context, however its URL is written.
	b.must(t, exitOK, login("HTTPS://"+d.addr+"/"), d.password)
	if all := b.kept(t).Contexts; len(all) != 1 || all[d.addr].URL != "https://"+d.addr {
		t.Errorf("%d contexts", len(all))
	}
}

func TestAFileOfContextsThatIsOpenToOthersIsNoted(t *testing.T) {
	d := startLodged(t, "127.0.0.1:0")
	b := person(t)
	login := "login https://" + d.addr + " --user operator --password-stdin --fingerprint " + d.fingerprint
	if said := b.must(t, exitOK, login, d.password); strings.Contains(said, "chmod") {
		t.Error(said)
	}
	path := b.app.contextFile()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if said := b.must(t, exitOK, "whoami", ""); strings.Count(said, "chmod 600 "+path) != 1 {
		t.Error(said)
	}
	b.must(t, exitOK, login, d.password)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestLoginsAtOnceAllStay(t *testing.T) {
	d := startLodged(t, "127.0.0.1:0")
	home := person(t)
	var wg sync.WaitGroup
	for _, name := range strings.Fields("a b c d e f g h") {
		wg.Go(func() {
			b := person(t)
			b.app.home = home.dir
			b.in.Reset(d.password)
			if code := b.run(strings.Fields("login https://" + d.addr + " --context " + name + " --user operator --password-stdin --fingerprint " + d.fingerprint)...); code != exitOK {
				t.Errorf("%s: %d %s", name, code, b.err.String())
			}
		})
	}
	wg.Wait()
	if n := len(home.kept(t).Contexts); n != 8 {
		t.Errorf("%d of 8 logins are kept", n)
	}
}
