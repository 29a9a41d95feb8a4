package auth

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/store"
)

// The same words as one keyboard writes them and as another does.
const (
	composed   = "caf\u00e9 au lait, \u212bngstr\u00f6m"
	decomposed = "cafe\u0301 au lait, A\u030angstro\u0308m"
)

var root = cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "socket"}

func newAccounts(t *testing.T) (*Accounts, *store.DB) {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	a := NewAccounts(db, db, uuid.NewString)
	a.Cost = cheap
	a.decoy = func() string { return reference }
	return a, db
}

func (a *Accounts) login(t *testing.T, name, password string) error {
	t.Helper()
	_, _, err := a.Login(context.Background(), cloud.Caller{Via: "login"}, start, name, password)
	return err
}

func makeUser(t *testing.T, db *store.DB, name, hash string) cloud.User {
	t.Helper()
	u, err := db.CreateUser(t.Context(), root, start, cloud.NewUser{ID: uuid.NewString(), Name: name}, hash)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func hashOf(t *testing.T, db *store.DB, name string) string {
	t.Helper()
	_, hash, err := db.Credentials(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestAPasswordIsTheSameInEveryForm(t *testing.T) {
	a, _ := newAccounts(t)
	if _, err := a.CreateUser(t.Context(), root, start, cloud.NewUser{ID: uuid.NewString(), Name: "ada"}, decomposed); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{composed, decomposed} {
		if err := a.login(t, "ada", p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	wantCode(t, a.login(t, "ada", strings.ReplaceAll(composed, "\u00e9", "e")), cloud.CodeUnauthorized)
	// The length that counts is that of the form.
	wantCode(t, CheckPassword("x", strings.Repeat("e\u0301", MinPassword-1)), cloud.CodeInvalid)
	wantCode(t, CheckPassword("x", strings.Repeat("\ufdfa", MaxPassword/3)), cloud.CodeInvalid) // one becomes 18
	wantCode(t, CheckPassword("\u00e9l\u00e9onore-xx", "e\u0301le\u0301onore-xx"), cloud.CodeInvalid)
}

func TestAHashFromBeforeTheOneFormIsGoodAndRenewed(t *testing.T) {
	a, db := newAccounts(t)
	makeUser(t, db, "ada", HashPassword(decomposed, cheap))
	old := hashOf(t, db, "ada")
	// Composed is not what was typed then: nobody can know that it is the same.
	wantCode(t, a.login(t, "ada", composed), cloud.CodeUnauthorized)
	if hashOf(t, db, "ada") != old {
		t.Error("a failed login changes the hash")
	}
	if err := a.login(t, "ada", decomposed); err != nil {
		t.Fatal(err)
	}
	if hashOf(t, db, "ada") == old {
		t.Error("the hash stays")
	}
	for _, p := range []string{composed, decomposed} {
		if err := a.login(t, "ada", p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestACheapHashIsRenewedAtTheNextGoodLogin(t *testing.T) {
	a, db := newAccounts(t)
	const password = "a few random words"
	u := makeUser(t, db, "ada", HashPassword(password, cheap))
	old := hashOf(t, db, "ada")
	secret, _, err := a.Login(t.Context(), cloud.Caller{Via: "login"}, start, "ada", password)
	if err != nil || hashOf(t, db, "ada") != old {
		t.Fatalf("%v, or a hash of the same cost is renewed", err)
	}
	a.Cost = Cost{Time: 2, MemoryKiB: 128, Threads: 1}
	wantCode(t, a.login(t, "ada", "some other words"), cloud.CodeUnauthorized)
	if hashOf(t, db, "ada") != old {
		t.Error("a failed login renews the hash")
	}
	if err := a.login(t, "ada", password); err != nil {
		t.Fatal(err)
	}
	renewed := hashOf(t, db, "ada")
	if !strings.Contains(renewed, "$m=128,t=2,p=1$") {
		t.Errorf("the hash is %s", renewed)
	}
	for _, same := range []Cost{a.Cost, cheap} { // a lower cost changes nothing
		a.Cost = same
		if err := a.login(t, "ada", password); err != nil || hashOf(t, db, "ada") != renewed {
			t.Errorf("%v, the hash is %s", err, hashOf(t, db, "ada"))
		}
	}
	old = renewed
	if _, err := db.Identity(t.Context(), start, HashSecret(secret)); err != nil {
		t.Errorf("a session ended with it: %v", err)
	}
	if now, err := db.User(t.Context(), root, u.ID); err != nil || now.Revision != u.Revision {
		t.Errorf("the user is at revision %d, %v", now.Revision, err)
	}
	// A password that was changed meanwhile is not brought back.
	if err := db.RenewPasswordHash(t.Context(), start, u.ID, reference, reference); err != nil || hashOf(t, db, "ada") != old {
		t.Errorf("%v, the hash is %s", err, hashOf(t, db, "ada"))
	}
}

func TestAPasswordIsNotTheNameHoweverTheUserIsNamed(t *testing.T) {
	a, db := newAccounts(t)
	u := makeUser(t, db, "alexandra-maria", "")
	for _, named := range []string{u.ID, u.Name} {
		wantCode(t, a.SetPassword(t.Context(), root, start, named, "Alexandra-Maria", ""), cloud.CodeInvalid)
		if err := a.SetPassword(t.Context(), root, start, named, "a few random words", ""); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, a.SetPassword(t.Context(), root, start, "nobody", "a few random words", ""), cloud.CodeNotFound)
	self := cloud.Caller{UserID: u.ID, UserName: u.Name, Role: cloud.RoleViewer, Via: "token"}
	wantCode(t, a.SetPassword(t.Context(), self, start, u.ID, "other random words", "wrong"), cloud.CodeForbidden)
	wantCode(t, a.SetPassword(t.Context(), self, start, u.ID, "alexandra-maria", "a few random words"), cloud.CodeInvalid)
	if err := a.SetPassword(t.Context(), self, start, u.ID, "other random words", "a few random words"); err != nil {
		t.Error(err)
	}
	if err := a.login(t, u.Name, "other random words"); err != nil {
		t.Error(err)
	}
}
