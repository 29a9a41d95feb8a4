package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	googleuuid "github.com/google/uuid"

	"lodge/api/wire"
	"lodge/cert/pin"
	"lodge/cmd/lodged/daemon"
)

// lodged is a real one on a pretend host, with its own certificate authority on
// a loopback address.
type lodged struct {
	addr, fingerprint, password string
	socket                      string
	stop                        func()
}

var welcome = regexp.MustCompile(`address +https://(\S+)\n +fingerprint +(\S+)\n +user +operator\n +password +(\S+)\n`)

func startLodged(t *testing.T, listen string, change ...func(*daemon.Config)) lodged {
	t.Helper()
	dir, err := os.MkdirTemp("", "lodged") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var out bytes.Buffer
	cfg := daemon.Config{
		DataDir: dir, Socket: filepath.Join(dir, "s"), Listen: listen, Sim: true, Accel: "tcg",
		Workers: 1, SweepEvery: time.Second, MaxImageBytes: 1 << 30, MaxVirtualBytes: 1 << 40,
		NetworkPool: netip.MustParsePrefix("10.77.0.0/16"), Version: "test",
		Now: time.Now, NewID: googleuuid.NewString, Log: slog.New(slog.DiscardHandler), Out: &out,
	}
	for _, c := range change {
		c(&cfg)
	}
	d, err := daemon.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop := func() {
		if cancel(); ended != nil {
			if err := <-ended; err != nil {
				t.Errorf("lodged: %v", err)
			}
			ended = nil
		}
	}
	t.Cleanup(stop)
	m := welcome.FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("lodged says\n%s", out.String())
	}
	return lodged{addr: m[1], fingerprint: m[2], password: m[3], socket: filepath.Join(dir, "s"), stop: stop}
}

// person is a command line with a home of its own and no fake.
func person(t *testing.T) *bench {
	b := newBench(t)
	delete(b.env, "LODGE_SOCKET")
	b.app.now = time.Now
	return b
}

// must runs a command that has to end with code, and gives what it printed.
func (b *bench) must(t *testing.T, code int, line string, stdin string) string {
	t.Helper()
	b.in.Reset(stdin)
	b.out.Reset()
	b.err.Reset()
	if got := b.run(strings.Fields(line)...); got != code {
		t.Fatalf("lodge %s exits with %d, want %d:\n%s%s", line, got, code, b.out.String(), b.err.String())
	}
	said := b.out.String() + b.err.String()
	for _, c := range b.kept(t).Contexts {
		if c.Token != "" && strings.Contains(said, c.Token) {
			t.Fatalf("lodge %s prints a token:\n%s", line, said)
		}
	}
	return said
}

func has(t *testing.T, said string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(said, w) {
			t.Errorf("%q is not in\n%s", w, said)
		}
	}
}

func TestARealLodgedIsWorkedWith(t *testing.T) {
	d := startLodged(t, "127.0.0.1:0")
	url := "https://" + d.addr
	b := person(t)

	// The authority is a person's choice, or its fingerprint's.
	has(t, b.must(t, exitUsage, "login "+url+" --user operator --password-stdin", d.password), "certificate authority of its own", "--fingerprint")
	wrong := strings.Repeat("ab:", 31) + "ab"
	has(t, b.must(t, exitRefused, "login "+url+" --user operator --password-stdin --fingerprint "+wrong, d.password), "has not the fingerprint")
	b.app.ttyIn, b.secrets = true, []string{d.password}
	has(t, b.must(t, exitError, "login "+url+" --user operator", "no\n"), d.fingerprint, "nothing was saved")
	has(t, b.must(t, exitOK, "login "+url+" --user operator", "yes\n"), d.fingerprint, "as operator")
	b.app.ttyIn = false
	has(t, b.must(t, exitOK, "login "+url+" --user operator --password-stdin", d.password), "as operator") // known by now
	has(t, b.must(t, exitOK, "context show", ""), "Fingerprint:  "+d.fingerprint)
	has(t, b.must(t, exitOK, "whoami", ""), "operator", url)

	// What lodged does not take of the command line is a mistake on it.
	has(t, b.must(t, exitUsage, "usage verify --head abc", ""), `The head "abc" is none`)
	has(t, b.must(t, exitUsage, "webhook create chat http://10.0.0.1/", ""), "a private address")

	// The operator lets people into a tenant, and its admin says as what.
	const words = "correct horse battery staple\n"
	b.must(t, exitOK, "tenant create acme", "")
	has(t, b.must(t, exitOK, "user create ada --tenant acme --role admin --password-stdin", words), "The user ada is there.")
	b.must(t, exitOK, "user create bob --password-stdin", words)
	b.must(t, exitOK, "user create eve --password-stdin", words)
	has(t, b.must(t, exitOK, "--tenant acme member add bob --role member", ""), "bob is in the tenant acme as member.")
	has(t, b.must(t, exitOK, "user list", ""), "ada", "bob")
	has(t, b.must(t, exitRefused, "login "+url+" --context ada --user ada --password-stdin", "not this one at all\n"), "password is wrong")
	has(t, b.must(t, exitOK, "login "+url+" --context ada --user ada --password-stdin --fingerprint "+strings.ReplaceAll(d.fingerprint, ":", ""), words), "for the tenant acme")
	has(t, b.must(t, exitOK, "member add bob --role viewer", ""), "bob is in the tenant acme as viewer.")
	has(t, b.must(t, exitNotFound, "member add eve --role viewer", ""), "no member", "ask an operator")
	has(t, b.must(t, exitOK, "member list", ""), "ada", "bob")
	has(t, b.must(t, exitOK, "list", ""), "NAME")
	has(t, b.must(t, exitRefused, "user list", ""), "the role operator", "ask an operator")
	has(t, b.must(t, exitRefused, "token create all --role operator", ""), "no token for the role operator")
	has(t, b.must(t, exitUsage, "token create "+strings.Repeat("x", 129), ""), "The name of a token has at most 128")

	// A token works from the environment, and no longer than it is there.
	b.must(t, exitOK, "token create ci --role viewer --expires-in 12h", "")
	secret := strings.TrimSpace(b.out.String())
	ca := filepath.Join(b.dir, "ca.pem")
	if err := os.WriteFile(ca, []byte(b.kept(t).Contexts["ada"].CA), 0o600); err != nil {
		t.Fatal(err)
	}
	b.env["LODGE_URL"], b.env["LODGE_TOKEN"], b.env["LODGE_CA"] = url, secret, ca
	var me wire.Whoami
	b.must(t, exitOK, "whoami -o json", "")
	if err := json.Unmarshal(b.out.Bytes(), &me); err != nil || me.Role != "viewer" || me.Via != "token" {
		t.Errorf("%+v, %v", me, err)
	}
	delete(b.env, "LODGE_CA")
	has(t, b.must(t, exitRefused, "whoami", ""), "no authority that this machine knows")
	b.env["LODGE_CA"] = ca
	delete(b.env, "LODGE_URL")
	b.must(t, exitOK, "login "+url+" --context ci --token-stdin --fingerprint "+d.fingerprint, secret+"\n")
	has(t, b.must(t, exitOK, "whoami", ""), "viewer", "acme")
	b.must(t, exitOK, "login "+url+" --context ada2 --user ada --password-stdin --fingerprint "+d.fingerprint, words)
	has(t, b.must(t, exitOK, "--context ada token list", ""), "ci", "session", "login")
	has(t, b.must(t, exitUsage, "--context ada token revoke login", ""), "2 tokens have the name login", "give the id")
	b.must(t, exitOK, "logout --context ada2", "")
	b.must(t, exitOK, "context delete ada2", "")
	b.must(t, exitOK, "context use ci", "")
	b.must(t, exitOK, "--context ada token revoke ci", "")
	has(t, b.must(t, exitRefused, "whoami", ""), "does not take the token", "lodge login "+url)
	b.must(t, exitOK, "context delete ci", "")

	// What was done is written down, what was refused too.
	b.must(t, exitOK, "context use ada", "")
	has(t, b.must(t, exitOK, "audit", ""), "ada", "ok")
	has(t, b.must(t, exitOK, "audit --refused --context "+d.addr, ""), "session.open")

	// A password of one's own needs the present one, and ends the session.
	has(t, b.must(t, exitRefused, "user password --password-stdin", "wrong horse battery\nanother long password\n"), "password")
	has(t, b.must(t, exitOK, "user password --password-stdin", words+"another long password\n"), "Log in again")
	has(t, b.must(t, exitRefused, "list", ""), "log in again with `lodge login "+url+"`")
	b.must(t, exitOK, "login "+url+" --user ada --context ada --password-stdin", "another long password\n")
	token := b.kept(t).Contexts["ada"].Token
	b.must(t, exitOK, "logout", "")
	has(t, b.must(t, exitRefused, "list", ""), "You are not logged in")
	has(t, b.must(t, exitRefused, "login "+url+" --context ci --token-stdin --fingerprint "+d.fingerprint, token+"\n"), "revoked")

	// Who has the socket needs no login, and no session of it can end.
	b.env["LODGE_SOCKET"] = d.socket
	has(t, b.must(t, exitOK, "whoami", ""), "socket")
	has(t, b.must(t, exitOK, "member list --tenant acme", ""), "bob")
	b.must(t, exitOK, "member remove bob --tenant acme", "")
	b.must(t, exitOK, "user delete bob", "")
	has(t, b.must(t, exitRefused, "logout", ""), "no context")
}

func TestAnotherAuthorityIsRefused(t *testing.T) {
	first := startLodged(t, "127.0.0.1:0")
	url := "https://" + first.addr
	b := person(t)
	b.must(t, exitOK, "login "+url+" --user operator --password-stdin --fingerprint "+first.fingerprint, first.password)
	first.stop()
	has(t, b.must(t, exitUnavailable, "list", ""), "Nobody answers at "+url)
	has(t, b.must(t, exitUnavailable, "login "+url+" --user operator --password-stdin", "x"), "Nothing listens at")
	second := startLodged(t, first.addr)
	for _, line := range []string{"list", "whoami", "login " + url + " --user operator --password-stdin"} {
		said := b.must(t, exitRefused, line, second.password)
		has(t, said, "another certificate authority", "somebody sits in between", fmt.Sprintf("`lodge login %s --fingerprint SUM`", url))
	}
	if c := b.kept(t).Contexts[first.addr]; c == nil || c.Token == "" {
		t.Error("the refusal has changed the context")
	}
	b.must(t, exitOK, "login "+url+" --user operator --password-stdin --fingerprint "+second.fingerprint, second.password)
	b.must(t, exitOK, "list", "")
}

func TestWhatTheSystemTrustsIsNotPinned(t *testing.T) {
	d := startLodged(t, "127.0.0.1:0")
	offer, err := pin.Fetch(t.Context(), d.addr)
	if err != nil {
		t.Fatal(err)
	}
	b := person(t)
	b.app.roots = x509.NewCertPool()
	b.app.roots.AddCert(offer.CA)
	w := way{url: "https://" + d.addr}
	if ca, err := b.app.trust(t.Context(), w, ""); err != nil || ca != "" || b.err.Len() > 0 {
		t.Errorf("pinned %q, %v, said %s", ca, err, b.err.String())
	}
	if ca, err := b.app.trust(t.Context(), w, d.fingerprint); err != nil || ca != string(offer.CAPEM) {
		t.Errorf("with a fingerprint: pinned %q, %v", ca, err)
	}
}

// Every operation that a real loop works on comes to its end, and is followed by
// nothing but its id.
func TestOperationsOfARealLodgedComeToTheirEnd(t *testing.T) {
	d := startLodged(t, "127.0.0.1:0")
	b := person(t)
	b.env["LODGE_SOCKET"] = d.socket
	operations := func(narrowed string) (items []wire.Operation) {
		b.must(t, exitOK, "operations -o json "+narrowed, "")
		if err := json.Unmarshal(b.out.Bytes(), &items); err != nil {
			t.Fatal(err)
		}
		return items
	}
	disk := make([]byte, 1<<20)
	copy(disk[510:], "\x55\xaa") // a boot sector
	b.must(t, exitOK, "image import - --name img", string(disk))
	b.must(t, exitOK, "create web1 --vcpus 1 --memory 1GB", "")
	for _, line := range []string{"", "stop web1", "start web1", "reboot web1", "set web1 --vcpus 2", "delete web1 --yes"} {
		if line != "" {
			b.must(t, exitOK, line, "")
		}
		all := operations("")
		last := all[len(all)-1]
		has(t, b.must(t, exitOK, "operation wait "+last.ID+" --timeout 1m", ""), last.Kind+" of web1 succeeded.")
		b.must(t, exitRefused, "operation cancel "+last.ID, "")
	}
	if left := operations("--state running"); len(left) != 0 {
		t.Errorf("still running: %+v", left)
	}
	var kinds []string
	for _, o := range operations("--state succeeded") {
		kinds = append(kinds, o.Kind)
	}
	want := []string{"image.import", "instance.create", "instance.stop", "instance.start", "instance.reboot", "instance.update", "instance.delete"}
	if !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
}
