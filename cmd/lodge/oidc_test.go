package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lodge/api/client"
	"lodge/api/wire"
	"lodge/auth"
	"lodge/cmd/lodged/daemon"
)

// asLodge makes this program the command line, for a test that wants a process.
const asLodge = "LODGE_TEST_IS_LODGE"

func TestMain(m *testing.M) {
	if os.Getenv(asLodge) != "" {
		main()
	}
	os.Exit(m.Run())
}

// trusting is a lodged that believes an issuer.
func trusting(url string, create bool) func(*daemon.Config) {
	return func(c *daemon.Config) {
		c.OIDC = &daemon.OIDCConfig{AllowCreate: create, Options: auth.OIDCOptions{Issuer: url, ClientID: issuerClient}}
	}
}

// visits lets the person's browser log in whenever lodge shows a page.
func (b *bench) visits(t *testing.T, is *issuer, login string) {
	b.app.browse = func(page string) {
		go func() {
			if _, text := is.logIn(t, page, login); !strings.Contains(text, "Go back to the terminal") {
				t.Errorf("the browser ends at %q", text)
			}
		}()
	}
}

func (d lodged) operator(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestPeopleLogInAtAnIdentityProvider(t *testing.T) {
	is := startIssuer(t)
	d := startLodged(t, "127.0.0.1:0", trusting(is.url, false))
	url, b := "https://"+d.addr, person(t)
	login := "login " + url + " --oidc --fingerprint " + d.fingerprint
	op := "--socket " + d.socket + " "

	// Nobody is let in for being known there, and the refusal says what to do.
	b.visits(t, is, "alice")
	has(t, b.must(t, exitRefused, login, ""), "belongs to no user here", "lodge user link NAME --subject 'id-alice'")
	if len(b.kept(t).Contexts) != 0 {
		t.Error("a refused login has left a context")
	}
	b.must(t, exitOK, op+"tenant create acme", "")
	b.must(t, exitOK, op+"user create ada --no-password --tenant acme --role viewer", "")
	has(t, b.must(t, exitOK, op+"user link ada --subject id-alice", ""), "The user ada is id-alice at "+is.url)
	has(t, b.must(t, exitOK, op+"user show ada", ""), "Subject:", "id-alice", is.url)

	// The role is that of the user, and changes with it.
	has(t, b.must(t, exitOK, login, ""), "as ada for the tenant acme")
	has(t, b.must(t, exitOK, "whoami", ""), "ada", "viewer")
	b.must(t, exitOK, "list", "")
	has(t, b.must(t, exitRefused, "create web1", ""), "needs the role member")
	b.must(t, exitOK, op+"member add ada --role member --tenant acme", "")
	has(t, b.must(t, exitOK, "whoami", ""), "member")

	// Whoever calls herself alice there, or ada, is somebody else.
	other := person(t)
	other.visits(t, is, "mallory")
	has(t, other.must(t, exitRefused, login, ""), "--subject 'id-mallory'")
	has(t, other.must(t, exitUsage, op+"user link ada --subject x --issuer ftp://x", ""), "The issuer is the URL")
	b.must(t, exitOK, op+"user create mal --no-password", "")
	has(t, b.must(t, exitRefused, op+"user link mal --subject id-alice", ""), "is the user ada already")

	// The issuer may change its keys, with and without showing the old ones.
	is.store.rotate(t, 2)
	b.must(t, exitOK, login, "")
	is.store.rotate(t, 1)
	b.must(t, exitOK, login, "")

	// Who is not linked any more, or gone, is out at once.
	b.must(t, exitOK, "list", "")
	b.must(t, exitOK, op+"user unlink ada", "")
	has(t, b.must(t, exitRefused, "list", ""), "lodge login "+url)
	has(t, b.must(t, exitRefused, login, ""), "belongs to no user here")
	b.must(t, exitOK, op+"user link ada --subject id-alice", "")
	b.must(t, exitOK, login, "")
	b.must(t, exitOK, op+"user delete ada", "")
	b.must(t, exitRefused, "list", "")
	has(t, b.must(t, exitRefused, login, ""), "belongs to no user here")
	b.must(t, exitOK, op+"user link mal --subject id-alice", "") // nobody holds it now

	has(t, b.must(t, exitOK, op+"audit --action session.open", ""), "ada", "ok")
	has(t, b.must(t, exitOK, op+"audit --refused", ""), "session.open", "alice", "forbidden")
	log, err := d.operator(t).Audit(t.Context(), client.AuditQuery{Action: "session.open"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Items {
		if e.Via != "oidc" || e.Address != "127.0.0.1" || e.RequestID == "" {
			t.Errorf("%+v", e)
		}
	}
}

func TestAFirstLoginMakesAUserOfNoTenant(t *testing.T) {
	is := startIssuer(t)
	d := startLodged(t, "127.0.0.1:0", trusting(is.url, true))
	url := "https://" + d.addr
	login := "login " + url + " --oidc --fingerprint " + d.fingerprint
	op := "--socket " + d.socket + " "
	logIn := func(who string, code int) string {
		b := person(t)
		b.visits(t, is, who)
		said := b.must(t, code, login, "")
		if code == exitOK {
			said += b.must(t, exitOK, "whoami", "")
			for _, line := range []string{"user list", "list"} { // no operator, whatever the name
				has(t, b.must(t, exitError, line, ""), "You belong to no tenant yet")
			}
		}
		return said
	}
	has(t, logIn("bob", exitOK), "as bob", "in no tenant yet")
	has(t, logIn("bob", exitOK), "as bob") // the same one
	has(t, logIn("eve", exitRefused), `a user named "operator" already`, "'id-eve'")
	has(t, logIn("nameless", exitRefused), "no name that a user here can have")
	has(t, logIn("alice", exitOK), "as alice")
	has(t, logIn("mallory", exitRefused), `a user named "alice" already`)
	b := person(t)
	has(t, b.must(t, exitOK, op+"audit --refused", ""), "name_taken")
	has(t, b.must(t, exitOK, op+"audit --action user.create", ""), "bob", "alice")
	u, err := d.operator(t).User(t.Context(), "bob")
	if err != nil || u.Email != "bob@example.com" || u.Operator || u.HasPassword || u.Subject != "id-bob" {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestALoginOnAnotherMachine(t *testing.T) {
	is := startIssuer(t)
	d := startLodged(t, "127.0.0.1:0", trusting(is.url, true))
	c := d.tenant(t)
	for _, action := range []string{"allowed", "denied"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			begun, err := c.StartSignOn(t.Context(), wire.StartSignOn{Device: true})
			if err != nil {
				t.Fatal(err)
			}
			_, still, err := c.FinishSignOn(t.Context(), wire.FinishSignOn{Login: begun.Login})
			if err != nil || still == nil || still.Login == "" || still.IntervalSeconds < 1 {
				t.Fatalf("before there is an answer: %+v, %v", still, err)
			}
			is.answer(t, begun.UserCode, "carol", action)
			s, _, err := c.FinishSignOn(t.Context(), wire.FinishSignOn{Login: still.Login})
			if action == "denied" {
				if !client.IsUnauthorized(err) || !strings.Contains(err.Error(), "refused at the identity provider") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || s.User.Name != "carol" || s.User.Subject != "id-carol" {
				t.Fatalf("%+v, %v", s, err)
			}
			// This issuer gives tokens for one device code again and again; lodge does not.
			for _, login := range []string{begun.Login, still.Login} {
				if _, _, err := c.FinishSignOn(t.Context(), wire.FinishSignOn{Login: login}); !client.IsUnauthorized(err) {
					t.Errorf("a login that was used: %v", err)
				}
			}
		})
	}
}

// tenant is a client of the tenants' way in, without a token.
func (d lodged) tenant(t *testing.T) *client.Client {
	t.Helper()
	b := person(t)
	ca, err := b.app.trust(t.Context(), way{url: "https://" + d.addr}, d.fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New("https://"+d.addr, client.WithCA([]byte(ca)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestALoginIsGoodOnceAndForItsOwnCode(t *testing.T) {
	is := startIssuer(t)
	c := startLodged(t, "127.0.0.1:0", trusting(is.url, true)).tenant(t)
	type begun struct {
		wire.SignOn
		code string
	}
	begin := func(who string) begun {
		t.Helper()
		b := begun{}
		back, err := c.StartSignOn(t.Context(), wire.StartSignOn{RedirectURI: "http://127.0.0.1:1/callback"})
		if err != nil {
			t.Fatal(err)
		}
		b.SignOn = back
		br := is.browser(t)
		br.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Port() == "1" { // nobody listens there
				b.code = r.URL.Query().Get("code")
				return http.ErrUseLastResponse
			}
			return nil
		}
		form, _ := br.page(br.Get(back.URL))
		br.page(br.PostForm(is.url+"/login/username", map[string][]string{
			"id": {form.Query().Get("authRequestID")}, "username": {who}, "password": {issuerPassword}}))
		if b.code == "" {
			t.Fatal("the browser brought no code")
		}
		return b
	}
	finish := func(login, state, code string) error {
		_, _, err := c.FinishSignOn(t.Context(), wire.FinishSignOn{Login: login, State: state, Code: code})
		return err
	}
	one, two := begin("alice"), begin("mallory")
	for what, err := range map[string]error{
		"the code of another login":  finish(one.Login, one.State, two.code),
		"the state of another login": finish(one.Login, two.State, one.code),
		"a login that was made up":   finish("AAAA", one.State, one.code),
		"a browser's as a device's":  finish(one.Login, "", ""),
	} {
		if !client.IsUnauthorized(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	three := begin("alice")
	if err := finish(three.Login, three.State, three.code); err != nil {
		t.Fatal(err)
	}
	if err := finish(three.Login, three.State, three.code); !client.IsUnauthorized(err) {
		t.Errorf("the second time: %v", err)
	}
	for _, bad := range []wire.FinishSignOn{{}, {Login: "x", State: "x"}, {Login: "x", Code: "x"}} {
		if _, _, err := c.FinishSignOn(t.Context(), bad); client.CodeOf(err) != "invalid_request" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, bad := range []wire.StartSignOn{{}, {RedirectURI: "http://127.0.0.1:1/callback", Device: true}, {RedirectURI: "https://evil.example/callback"}} {
		if _, err := c.StartSignOn(t.Context(), bad); client.CodeOf(err) != "invalid_request" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestAnIssuerThatIsDownKeepsNobodyElseOut(t *testing.T) {
	is := startIssuer(t)
	is.stop()
	d := startLodged(t, "127.0.0.1:0", trusting(is.url, false))
	b := person(t)
	login := "login https://" + d.addr + " --fingerprint " + d.fingerprint
	has(t, b.must(t, exitUnavailable, login+" --oidc", ""), is.url+" does not answer")
	has(t, b.must(t, exitUnavailable, login+" --device", ""), is.url+" does not answer")
	b.must(t, exitOK, login+" --user operator --password-stdin", d.password)
	if p, err := d.tenant(t).SignOnProvider(t.Context()); err != nil || p.Issuer != is.url || p.ClientID != issuerClient {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestALodgedWithoutAnIssuerSaysSo(t *testing.T) {
	d := startLodged(t, "127.0.0.1:0")
	b := person(t)
	login := "login https://" + d.addr + " --fingerprint " + d.fingerprint
	has(t, b.must(t, exitNotFound, login+" --oidc", ""), "no single sign-on")
	has(t, b.must(t, exitNotFound, "--socket "+d.socket+" user link operator --subject x", ""), "no single sign-on")
	for _, more := range []string{
		" --oidc --user ada", " --device --token-stdin", " --oidc --password-stdin", " --device --no-browser",
		" --device --callback-port 4711", " --no-browser", " --oidc --callback-port 70000",
	} {
		b.must(t, exitUsage, login+more, "")
	}
}

// Any page that a browser shows can send it to the port that lodge waits at.
func TestOnlyTheRedirectThatKnowsTheStateEndsTheWait(t *testing.T) {
	is := startIssuer(t)
	d := startLodged(t, "127.0.0.1:0", trusting(is.url, true))
	b := person(t)
	b.app.browse = func(page string) {
		go func() {
			back := regexp.MustCompile(`redirect_uri=http%3A%2F%2F127\.0\.0\.1%3A(\d+)`).FindStringSubmatch(page)
			if back == nil {
				t.Errorf("no redirect in %s", page)
				return
			}
			br := is.browser(t)
			for _, q := range []string{"", "?code=x", "?code=x&state=y", "?error=access_denied", "?error=access_denied&state="} {
				if _, text := br.page(br.Get("http://127.0.0.1:" + back[1] + "/callback" + q)); !strings.Contains(text, "not the login") {
					t.Errorf("%q: %s", q, text)
				}
			}
			is.logIn(t, page, "alice")
		}()
	}
	b.must(t, exitOK, "login https://"+d.addr+" --oidc --fingerprint "+d.fingerprint, "")
	// A refusal that knows the state ends it.
	b.app.browse = func(page string) {
		go func() {
			br := is.browser(t)
			u := regexp.MustCompile(`[?&]state=([^&]+)`).FindStringSubmatch(page)
			back := regexp.MustCompile(`redirect_uri=http%3A%2F%2F127\.0\.0\.1%3A(\d+)`).FindStringSubmatch(page)
			br.page(br.Get("http://127.0.0.1:" + back[1] + "/callback?error=access_denied%1b&state=" + u[1]))
		}()
	}
	said := b.must(t, exitRefused, "login https://"+d.addr+" --oidc", "")
	has(t, said, "refuses the login")
	if strings.Contains(said, "\x1b") {
		t.Error("it writes to the terminal what a page said")
	}
}

// The command line as a process of its own, on a machine without a browser.
func TestARealCommandLineLogsInWithACodeAndWithAPage(t *testing.T) {
	is := startIssuer(t)
	d := startLodged(t, "127.0.0.1:0", trusting(is.url, true))
	home := t.TempDir()
	lodge := func(seen func(line string), args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, self, args...)
		cmd.Env = []string{asLodge + "=1", "HOME=" + home, "PATH=/nowhere"}
		var out, told strings.Builder // each has a writer of its own
		cmd.Stdout = &out
		pipe, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			told.WriteString(lines.Text() + "\n")
			seen(strings.TrimSpace(lines.Text()))
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("lodge %v: %v\n%s%s", args, err, told.String(), out.String())
		}
		return told.String() + out.String()
	}
	at := []string{"login", "https://" + d.addr, "--fingerprint", d.fingerprint}
	has(t, lodge(func(line string) {
		if strings.HasPrefix(line, is.url) {
			is.logIn(t, line, "alice")
		}
	}, append(at, "--oidc", "--no-browser")...), "as alice")
	has(t, lodge(func(line string) {
		if _, code, ok := strings.Cut(line, "enter the code  "); ok {
			is.answer(t, code, "carol", "allowed")
		}
	}, append(at, "--device")...), "as carol")
	has(t, lodge(func(string) {}, "whoami"), "carol")
	info, err := os.Stat(filepath.Join(home, ".config", "lodge", "config.yaml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of contexts: %v, %v", info, err)
	}
}
