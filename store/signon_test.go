package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

const testIssuer = "https://id.example"

var byOIDC = cloud.Caller{Via: "oidc", Address: "192.0.2.1"}

// signIn is a login of a person, by a name of its own.
func (w *world) signIn(login string, p cloud.SignIn) (cloud.Token, error) {
	p.Login, p.LoginEnds, p.UserID = login, w.now.Add(10*time.Minute), id("user of", login)
	if p.Issuer == "" {
		p.Issuer = testIssuer
	}
	return w.SignIn(ctx, byOIDC, w.now, p, cloud.NewToken{ID: id("token", login), Name: "login", ExpiresAt: w.now.Add(time.Hour)}, "hash of "+login)
}

func TestAPersonIsWhoTheIssuerAndTheSubjectSay(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", cloud.RoleMember)
	_, err := w.LinkUser(ctx, operator, w.now, "ada", testIssuer, "s1")
	w.must(err)
	for what, p := range map[string]cloud.SignIn{
		"another subject": {Subject: "s2", Name: "ada", Email: "ada@example.com"},
		"another issuer":  {Issuer: testIssuer + "/", Subject: "s1", Name: "ada"},
		"no subject":      {Name: "ada"},
	} {
		_, err := w.signIn(what, p)
		w.refused(err, cloud.CodeForbidden)
		p.Create = true
		_, err = w.signIn(what+" and may join", p)
		w.refused(err, cloud.CodeNameTaken)
	}
	k, err := w.signIn("good", cloud.SignIn{Subject: "s1", Name: "whatever"})
	w.must(err)
	if k.UserID != ada.ID || k.Kind != cloud.TokenSession {
		t.Errorf("%+v", k)
	}
	who, err := w.Identity(ctx, w.now, "hash of good")
	w.must(err)
	if c, err := who.For(""); err != nil || c.Role != cloud.RoleMember || c.UserName != "ada" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestALoginAtAnIssuerIsSpentOnce(t *testing.T) {
	w := newWorld(t)
	p := cloud.SignIn{Subject: "s1", Name: "ada", Create: true}
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for range cap(results) {
		wg.Go(func() {
			_, err := w.signIn("one", p)
			results <- err
		})
	}
	wg.Wait()
	good := 0
	for range cap(results) {
		if err := <-results; err == nil {
			good++
		} else {
			w.refused(err, cloud.CodeUnauthorized)
		}
	}
	if good != 1 {
		t.Errorf("%d of 20 at once are let in", good)
	}
	// A refusal spends it too: what the operator does next is for the next login.
	_, err := w.signIn("two", cloud.SignIn{Subject: "s2", Name: "bob"})
	w.refused(err, cloud.CodeForbidden)
	w.user("bob", "")
	_, err = w.LinkUser(ctx, operator, w.now, "bob", testIssuer, "s2")
	w.must(err)
	_, err = w.signIn("two", cloud.SignIn{Subject: "s2", Name: "bob"})
	w.refused(err, cloud.CodeUnauthorized)
	// What is too old to come back is not kept.
	w.now = w.now.Add(time.Hour)
	_, err = w.signIn("three", p)
	w.must(err)
	if n := store.Count(t, w.DB, `SELECT count(*) FROM oidc_login`); n != 1 {
		t.Errorf("%d logins are remembered", n)
	}
}

func TestAFirstLoginMakesAUserOnce(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]cloud.SignIn{
		"none": {}, "blank": {Name: "a b"}, "slash": {Name: "a/b"}, "two at": {Name: "a@b@c"},
	} {
		p.Subject, p.Create = "odd", true
		_, err := w.signIn(name, p)
		w.refused(err, cloud.CodeForbidden)
	}
	first, err := w.signIn("one", cloud.SignIn{Subject: "s1", Name: "ada", Email: "ada@example.com", Create: true})
	w.must(err)
	u, err := w.User(ctx, operator, "ada")
	w.must(err)
	if u.ID != first.UserID || u.Operator || u.HasPassword || len(u.Memberships) != 0 || u.Issuer != testIssuer || u.Subject != "s1" || u.Email != "ada@example.com" {
		t.Errorf("%+v", u)
	}
	again, err := w.signIn("two", cloud.SignIn{Subject: "s1", Name: "renamed", Create: true})
	w.must(err)
	if again.UserID != u.ID {
		t.Errorf("another name there made another user")
	}
	// The user's end is the link's.
	w.must(w.DeleteUser(ctx, operator, w.now, "ada"))
	for _, hash := range []string{"hash of one", "hash of two"} {
		_, err = w.Identity(ctx, w.now, hash)
		w.refused(err, cloud.CodeUnauthorized)
	}
	_, err = w.signIn("three", cloud.SignIn{Subject: "s1", Name: "ada"})
	w.refused(err, cloud.CodeForbidden)
	if n := store.Count(t, w.DB, `SELECT count(*) FROM "user" WHERE subject <> ''`); n != 0 {
		t.Errorf("%d users are linked still", n)
	}
	entries, err := w.Audit(ctx, operator, cloud.AuditFilter{})
	w.must(err)
	made := 0
	for _, e := range entries {
		if e.Action == "user.create" && e.Via == "oidc" && e.Subject.ID == u.ID {
			made++
		}
		if e.Action == "session.open" && (e.Subject.Kind != cloud.KindToken || e.UserName != "ada") {
			t.Errorf("%+v", e)
		}
	}
	if made != 1 {
		t.Errorf("the audit log tells of %d users made", made)
	}
}

func TestALinkIsTheOperatorsWord(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", cloud.RoleAdmin)
	w.user("bob", "")
	_, err := w.LinkUser(ctx, w.as(ada), w.now, "ada", testIssuer, "s1")
	w.refused(err, cloud.CodeForbidden)
	_, err = w.LinkUser(ctx, operator, w.now, "nobody", testIssuer, "s1")
	w.refused(err, cloud.CodeNotFound)
	u, err := w.LinkUser(ctx, operator, w.now, "ada", testIssuer, "s1")
	w.must(err)
	same, err := w.LinkUser(ctx, operator, w.now, "ada", testIssuer, "s1")
	w.must(err)
	if same.Revision != u.Revision || len(same.Memberships) != 1 {
		t.Errorf("the same again changes it: %+v", same)
	}
	_, err = w.LinkUser(ctx, operator, w.now, "bob", testIssuer, "s1")
	w.refused(err, cloud.CodeConflict)
	_, err = w.signIn("one", cloud.SignIn{Subject: "s1"})
	w.must(err)
	// Somebody else is the user from now on.
	_, err = w.LinkUser(ctx, operator, w.now, "ada", testIssuer, "s2")
	w.must(err)
	_, err = w.Identity(ctx, w.now, "hash of one")
	w.refused(err, cloud.CodeUnauthorized)
	_, err = w.signIn("two", cloud.SignIn{Subject: "s1"})
	w.refused(err, cloud.CodeForbidden)
	_, err = w.LinkUser(ctx, operator, w.now, "bob", testIssuer, "s1")
	w.must(err)
	// Two who are nobody there are not the same person.
	for _, name := range []string{"ada", "bob"} {
		if u, err = w.LinkUser(ctx, operator, w.now, name, "", ""); err != nil || u.Subject != "" {
			t.Errorf("%+v, %v", u, err)
		}
	}
}

// The sentence is pasted into a shell by somebody with every right.
func TestASubjectCannotLeaveItsQuotes(t *testing.T) {
	w := newWorld(t)
	for subject, want := range map[string]string{
		"auth0|1":        "`lodge user link NAME --subject 'auth0|1'`.",
		"$(reboot)":      "--subject '$(reboot)'`.",
		"';reboot;'":     `to the subject "';reboot;'".`,
		"a\nb\x1b[2J":    `to the subject "a\nb\x1b[2J".`,
		"\u202eoperator": `to the subject "\u202eoperator".`,
	} {
		_, err := w.signIn(subject, cloud.SignIn{Subject: subject})
		w.refused(err, cloud.CodeForbidden)
		if m := cloud.MessageOf(err); !strings.HasSuffix(m, want) || strings.Contains(want, "to the subject") && strings.Contains(m, "--subject") {
			t.Errorf("%q: %s", subject, m)
		}
	}
}
