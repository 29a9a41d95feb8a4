package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"lodge/api/wire"
)

func TestMistakesAreTold(t *testing.T) {
	runGolden(t, []golden{
		{"mistake-command", "lsit", nil},
		{"mistake-noun", "image fetch", nil},
		{"mistake-flag", "list --stat running", nil},
		{"mistake-output", "list -o xml", nil},
		{"mistake-argument", "list web1", nil},
		{"unreachable", "list --socket DIR/nowhere.sock", nil},
		{"unreachable-version", "version --socket DIR/nowhere.sock", func(*bench) { setVersion(t, "v0.1") }},
	})
}

func TestMistakesAreToldBeforeAnythingIsAsked(t *testing.T) {
	passwd := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(passwd, []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"delete", "", "--yes"}, "A name is empty"},
		{[]string{"delete", "web1", "", "--yes"}, "A name is empty"},
		{[]string{"show", ""}, "A name is empty"},
		{[]string{"stop", ""}, "A name is empty"},
		{[]string{"ssh", ""}, "A name is empty"},
		{[]string{"usage", ""}, "A name is empty"},
		{[]string{"image", "delete", ""}, "A name is empty"},
		{[]string{"create", ""}, "A name is empty"},
		{[]string{"list", "--tenant", ""}, "--tenant is empty"},
		{[]string{"list", "--state="}, "--state is empty"},
		{[]string{"list", "--socket", ""}, "--socket is empty"},
		{[]string{"create", "a", "--image", ""}, "--image is empty"},
		{[]string{"create", "a", "--size", ""}, "--size is empty"},
		{[]string{"create", "a", "--flavor", ""}, "--flavor is empty"},
		{[]string{"create", "a", "--user-data", ""}, "--user-data is empty"},
		{[]string{"create", "a", "--vcpus", "x"}, `--vcpus "x": use a whole number`},
		{[]string{"create", "a", "--timeout", "x"}, `--timeout "x": use a time, as 5m`},
		{[]string{"create", "a", "--wait=x"}, `--wait "x": use true or false`},
		{[]string{"create", "a", "--ssh-key", passwd}, "holds no public key"},
		{[]string{"delete", "web1", "--force"}, "--force"},
		{[]string{"help", "nope"}, `There is no command "nope"`},
		{[]string{"help", "image", "nope"}, `There is no command "nope"`},
		{[]string{"completion", "nope"}, `There is no command "nope"`},
	} {
		b := newBench(t)
		code := b.run(tt.args...)
		if said := b.err.String(); code != exitUsage || !strings.Contains(said, tt.want) || strings.Contains(said, "parse") || strings.Count(said, "\n") != 1 {
			t.Errorf("%q exits with %d and says %s", tt.args, code, said)
		}
		if len(b.asked) != 0 || b.out.Len() > 0 {
			t.Errorf("%q asked %v and printed %s", tt.args, b.asked, b.out.String())
		}
	}
	for _, args := range [][]string{{"help"}, {"help", "image", "import"}, {"completion"}, {"completion", "bash"}, {"ssh", "web1", "--", "echo", ""}} {
		b := newBench(t)
		if code := b.run(args...); code != exitOK {
			t.Errorf("%q exits with %d: %s", args, code, b.err.String())
		}
	}
}

// setVersion gives the binary a version for one test.
func setVersion(t *testing.T, v string) {
	before := version
	version = v
	t.Cleanup(func() { version = before })
}

func TestEveryCommandHelps(t *testing.T) {
	b := newBench(t)
	for _, c := range b.app.command().Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Short == "" || !c.HasExample() && !c.HasSubCommands() {
			t.Errorf("%s has no summary or no example", c.Name())
		}
		for _, s := range c.Commands() {
			if s.Short == "" || !s.HasExample() {
				t.Errorf("%s %s has no summary or no example", c.Name(), s.Name())
			}
		}
		if code := b.run(c.Name(), "--help"); code != exitOK {
			t.Errorf("%s --help exits with %d", c.Name(), code)
		}
	}
	if len(b.asked) != 0 {
		t.Errorf("help asked lodged: %v", b.asked)
	}
}

func TestTheManualNamesEveryCommandAndFlag(t *testing.T) {
	manual, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	for _, c := range b.app.command().Commands() {
		if c.Name() == "help" {
			continue
		}
		if !bytes.Contains(manual, []byte("lodge "+c.Name())) {
			t.Errorf("docs/cli.md does not name lodge %s", c.Name())
		}
		for _, s := range c.Commands() {
			if c.Name() != "completion" && !bytes.Contains(manual, []byte("lodge "+c.Name()+" "+s.Name())) {
				t.Errorf("docs/cli.md does not name lodge %s %s", c.Name(), s.Name())
			}
		}
		c.LocalFlags().VisitAll(flagNamed(t, manual, c.Name()))
		for _, s := range c.Commands() {
			if c.Name() != "completion" {
				s.LocalFlags().VisitAll(flagNamed(t, manual, c.Name()+" "+s.Name()))
			}
		}
	}
}

func TestTheSocketIsFound(t *testing.T) {
	home := t.TempDir()
	env := map[string]string{}
	a := func() *app {
		return &app{home: home, real: filepath.Join(home, "no.sock"), output: outputTable, getenv: func(k string) string { return env[k] }}
	}
	settled := func(x *app) string {
		if err := x.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		return x.socket
	}
	if got := settled(a()); got != a().real {
		t.Errorf("got %s", got)
	}
	pretend := filepath.Join(home, ".local/share/lodge-sim/lodge.sock")
	if err := os.MkdirAll(filepath.Dir(pretend), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pretend, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := settled(a()); got != pretend {
		t.Errorf("got %s, want the pretend host's", got)
	}
	env["LODGE_SOCKET"] = "/env"
	if got := settled(a()); got != "/env" {
		t.Errorf("got %s, want the environment's", got)
	}
	given := a()
	given.socket = "/flag"
	if got := settled(given); got != "/flag" {
		t.Errorf("got %s, want the flag's", got)
	}
}

func TestInputIsRead(t *testing.T) {
	for s, want := range map[string]int{"512": 512, "4GB": 4096, "4g": 4096, "512MiB": 512, "0": 0, "-1": -1} {
		if got, err := memorySize(s); err != nil || got != want {
			t.Errorf("memorySize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "1.5KiB", "512KiB", "99999999999999999999", "99999999999999999999GB", "9999999999GB"} {
		if got, err := memorySize(s); err == nil {
			t.Errorf("memorySize(%q) = %d, want an error", s, got)
		}
	}
	dir := t.TempDir()
	private := filepath.Join(dir, "id")
	if err := os.WriteFile(private, []byte("-----BEGIN OPENSSH PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{home: dir, in: strings.NewReader(strings.Repeat("x", userDataMost+1))}
	if _, err := a.sshKeys(t.Context(), []string{private}); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("a private key: %v", err)
	}
	if _, err := a.userData(t.Context(), "-"); err == nil || !strings.Contains(err.Error(), "64 KiB") {
		t.Errorf("too much user data: %v", err)
	}
}

func TestAgesAreWrittenInOneUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 5 * time.Second: "5s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 3 * time.Hour: "3h", 72 * time.Hour: "3d",
	} {
		if got := age(noon, noon.Add(-d)); got != want {
			t.Errorf("age of %s is %s, want %s", d, got, want)
		}
	}
	if got := age(noon, time.Time{}); got != "" {
		t.Errorf("age of never is %s", got)
	}
}

func TestNewsOfALogAreFound(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 512)
	for _, c := range []struct{ name, before, now, want string }{
		{"nothing", "ab", "ab", ""},
		{"grown", "ab", "abcd", "cd"},
		{"moved on", "x" + long, long + "new", "new"},
		{"began anew", "old", "fresh", "fresh"},
		{"from nothing", "", "ab", "ab"},
	} {
		if got := string(added([]byte(c.before), []byte(c.now))); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestATerminalIsNotTakenOver(t *testing.T) {
	for in, want := range map[string]string{
		"plain\tä\n":                      "plain\tä\n",
		"a\x1b[1;31mred\x1b[0mb":          "aredb",
		"\x1b]0;title\x07x":               "x",
		"\x1b]0;title\x1b\\x":             "x",
		"\x1bPdcs\x1b\\x":                 "x",
		"\x1b(Bx":                         "x",
		"bell\x07back\x08\x7f":            "bellback",
		"\x1b]never ended\nnext line":     "\nnext line",
		"\x1b[2J\x1b[H\x1bclogin\r\nok: ": "login\nok: ",
	} {
		var out bytes.Buffer
		w := &tame{w: &out}
		for i := range len(in) { // byte by byte: a sequence may be cut anywhere
			if _, err := w.Write([]byte{in[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("%q became %q, want %q", in, out.String(), want)
		}
	}
}

func TestWhatATerminalWouldObeyIsQuoted(t *testing.T) {
	b := newBench(t)
	b.on("GET /v1/instances", instances())
	code := b.run("show", "\x1b]0;owned\a\x9b")
	if got := b.err.String(); code != exitNotFound || got != "lodge: There is no instance \"\\x1b]0;owned\\a\\x9b\".\n" {
		t.Errorf("exit %d: %q", code, got)
	}
	if got := sentence("open \x1b[2Jx: \u202e gone"); got != `open \x1b[2Jx: \u202e gone.` {
		t.Errorf("%q", got)
	}
	if got := shown("bücher"); got != "bücher" {
		t.Errorf("%q", got)
	}
}

func TestSSHIsReadyWhenItGreets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	greetings := make(chan string, 2)
	go func() {
		for g := range greetings {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(g))
			c.Close()
		}
	}()
	defer close(greetings)
	greetings <- "SSH-2.0-OpenSSH_9.2\r\n"
	if err := sshAnswers(context.Background(), l.Addr().String(), 5*time.Second); err != nil {
		t.Error(err)
	}
	greetings <- "HTTP/1.1 400\r\n"
	if err := sshAnswers(context.Background(), l.Addr().String(), 5*time.Second); err == nil {
		t.Error("a web server counts as SSH")
	}
}

func TestAnInterruptIsNoError(t *testing.T) {
	b := newBench(t)
	b.on("POST /v1/instances", seen("requested", "creating")).on("GET /v1/instances/"+web1ID, seen("building", "creating"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if code := b.app.run(ctx, []string{"create", "web1", "--no-ssh-key", "--wait"}); code != exitInterrupted {
		t.Errorf("exit %d: %s", code, b.err.String())
	}
}

func TestAnInterruptedUploadLeavesNothing(t *testing.T) {
	b := newBench(t)
	source, feed := io.Pipe()
	defer feed.Close()
	b.app.in = source
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	code := b.app.run(ctx, []string{"image", "import", "-", "--name", "mine"})
	if got := b.err.String(); code != exitInterrupted || got != "lodge: Interrupted; nothing was imported.\n" {
		t.Errorf("exit %d: %s", code, got)
	}
}

// until is done when it has been told what is wanted.
type until struct {
	buf  *bytes.Buffer
	want string
	done func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.buf.Write(p)
	if u.buf.String() == u.want {
		u.done()
	}
	return n, err
}

func TestAFollowShowsMoreThanItsTail(t *testing.T) {
	b := newBench(t)
	for tail, want := range map[string]string{"4": "two\nthree\nfour\n", "0": "three\nfour\n"} {
		b.out.Reset()
		b.on("GET /v1/instances/"+web1ID+"/console-log", raw("one\ntwo\n"), raw("one\ntwo\nthree\nfour\n"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		b.app.out = &until{buf: &b.out, want: want, done: cancel}
		if code := b.app.run(ctx, []string{"console-log", "web1", "--follow", "--tail", tail}); code != exitOK || b.out.String() != want {
			t.Errorf("--tail %s: exit %d, printed %q, want %q", tail, code, b.out.String(), want)
		}
		cancel()
	}
}

func TestHelpIsGivenBehindTheNameForSSH(t *testing.T) {
	b := newBench(t)
	if code := b.run("ssh", "web1", "--help"); code != exitOK || len(b.asked) > 0 || !strings.Contains(b.out.String(), "lodge ssh NAME") {
		t.Errorf("exit %d, asked %v: %s%s", code, b.asked, b.out.String(), b.err.String())
	}
}

func TestAFollowEndsWithAnInterrupt(t *testing.T) {
	b := newBench(t)
	b.on("GET /v1/events", wire.List[wire.Event]{}).on("GET /v1/events/stream", sse("id: 0\n\n")).on("GET /v1/instances/"+web1ID+"/console-log", raw("login: "), raw("login: ann\n"))
	for _, args := range [][]string{{"events", "--follow"}, {"console-log", "web1", "--follow"}} {
		patience := 10 * time.Second
		if args[0] == "events" {
			patience = 100 * time.Millisecond // there is nothing to wait for
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		b.app.out = &until{buf: &b.out, want: "login: ann\n", done: cancel}
		if code := b.app.run(ctx, args); code != exitOK {
			t.Errorf("%v: exit %d: %s", args, code, b.err.String())
		}
		cancel()
	}
	if b.out.String() != "login: ann\n" {
		t.Errorf("printed %q", b.out.String())
	}
}

func TestDeletingForgetsHostKeys(t *testing.T) {
	b := newBench(t)
	b.on("DELETE /v1/instances/"+web1ID, seen("running", "deleting"))
	path := b.app.knownHosts(web1ID)
	b.put(t, strings.TrimPrefix(path, b.dir), "lodge-"+web1ID+" ssh-ed25519 AAAA\n")
	if code := b.run("delete", "web1", "--yes"); code != exitOK || exists(path) {
		t.Errorf("exit %d, known hosts still there: %t", code, exists(path))
	}
}

func flagNamed(t *testing.T, manual []byte, command string) func(*pflag.Flag) {
	return func(f *pflag.Flag) {
		if f.Name != "help" && !bytes.Contains(manual, []byte("--"+f.Name)) {
			t.Errorf("docs/cli.md does not name --%s of lodge %s", f.Name, command)
		}
	}
}

func TestWhatIsLeftIsWrittenToTheNearestUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		12*time.Hour - time.Millisecond: "12h", 12*time.Hour - 20*time.Minute: "12h", 11*time.Hour + 20*time.Minute: "11h",
		90 * 24 * time.Hour: "90d", 90*24*time.Hour - time.Second: "90d", 48*time.Hour - time.Second: "2d", 119 * time.Second: "119s",
		2*time.Minute - time.Millisecond: "2m", 119 * time.Minute: "119m", 90 * time.Minute: "90m", time.Millisecond: "0s",
	} {
		if got := nearly(d); got != want {
			t.Errorf("%s is written %s, not %s", d, got, want)
		}
	}
}

// A backup is lodged's own affair, so the command only finds it and steps aside:
// every word goes on, flags too.
func TestBackupIsLodgeds(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "lodged")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	b := newBench(t)
	var got []string
	b.app.exec = func(path string, argv, _ []string) error { got = append([]string{path}, argv...); return nil }
	if code := b.run("backup", "restore", "latest", "--replace", "-o", "json"); code != exitOK {
		t.Fatalf("exit %d: %s", code, b.err.String())
	}
	if want := []string{program, program, "backup", "restore", "latest", "--replace", "-o", "json"}; !slices.Equal(got, want) {
		t.Errorf("ran %v, want %v", got, want)
	}
	t.Setenv("PATH", t.TempDir())
	if code := b.run("backup", "list"); code == exitOK || !strings.Contains(b.err.String(), "lodged is not installed here") {
		t.Errorf("without a lodged: exit %d, %s", code, b.err.String())
	}
}
