package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
	"lodge/store"
)

// user makes a user with a role in the default tenant; "" makes none.
func (w *world) user(name string, role cloud.Role) cloud.User {
	w.t.Helper()
	n := cloud.NewUser{ID: id("user", name), Name: name}
	if role != "" {
		n.Memberships = []cloud.Membership{{TenantID: w.tenant.ID, Role: role}}
	}
	u, err := w.CreateUser(ctx, operator, w.now, n, "hash of "+name)
	w.must(err)
	return u
}

func (w *world) token(c cloud.Caller, n cloud.NewToken) (cloud.Token, error) {
	if n.ID == "" {
		n.ID = id("token", n.Name)
	}
	n.Kind = cloud.TokenAPI
	return w.CreateToken(ctx, c, w.now, n, "hash of "+n.Name)
}

func (w *world) session(u cloud.User) cloud.Identity {
	w.t.Helper()
	hash := "session of " + u.Name
	_, err := w.OpenSession(ctx, cloud.Caller{Via: "login", Address: "192.0.2.1"}, w.now,
		cloud.NewToken{ID: id(hash, w.now), UserID: u.ID, Name: "login", ExpiresAt: w.now.Add(time.Hour)}, hash+w.now.String())
	w.must(err)
	who, err := w.Identity(ctx, w.now, hash+w.now.String())
	w.must(err)
	return who
}

func (w *world) as(u cloud.User) cloud.Caller {
	w.t.Helper()
	c, err := w.session(u).For("")
	w.must(err)
	return c
}

func TestASessionIsWhatItsUserIsNow(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", cloud.RoleMember)
	who := w.session(ada)
	if who.UserID != ada.ID || who.Operator || len(who.Memberships) != 1 {
		t.Fatalf("identity %+v", who)
	}
	c, err := who.For("")
	w.must(err)
	if c.TenantID != w.tenant.ID || c.Role != cloud.RoleMember || c.Operator {
		t.Errorf("caller %+v", c)
	}

	// A change of role counts from the next request on, without a new login.
	_, err = w.SetMember(ctx, operator, w.now, w.tenant.ID, "ada", cloud.RoleViewer)
	w.must(err)
	who, err = w.Identity(ctx, w.now, "session of ada"+w.now.String())
	w.must(err)
	if c, err = who.For(""); err != nil || c.Role != cloud.RoleViewer {
		t.Errorf("caller %+v, %v", c, err)
	}

	_, err = w.Identity(ctx, w.now.Add(time.Hour), "session of ada"+w.now.String())
	w.refused(err, cloud.CodeUnauthorized)
	w.must(w.SetPassword(ctx, operator, w.now, "ada", "another"))
	_, err = w.Identity(ctx, w.now, "session of ada"+w.now.String())
	w.refused(err, cloud.CodeUnauthorized)
}

func TestATokenIsNeverMoreThanItsUser(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", cloud.RoleMember)
	c := w.as(ada)
	for _, n := range []cloud.NewToken{
		{Name: "more", TenantID: w.tenant.ID, UserID: ada.ID, Role: cloud.RoleAdmin},
		{Name: "all", TenantID: w.tenant.ID, UserID: ada.ID, Role: cloud.RoleOperator},
	} {
		_, err := w.token(c, n)
		w.refused(err, cloud.CodeForbidden)
	}
	other, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{ID: id("t2"), NetworkID: id("n2"), SubnetID: id("s2"), Name: "other"})
	w.must(err)
	_, err = w.token(c, cloud.NewToken{Name: "elsewhere", TenantID: other.ID, UserID: ada.ID, Role: cloud.RoleViewer})
	w.refused(err, cloud.CodeNotFound)

	ci, err := w.token(c, cloud.NewToken{Name: "ci", TenantID: w.tenant.ID, UserID: ada.ID, Role: cloud.RoleMember})
	w.must(err)
	who, err := w.Identity(ctx, w.now, "hash of ci")
	w.must(err)
	if _, err := who.For(other.ID); cloud.CodeOf(err) != cloud.CodeNotFound {
		t.Errorf("a token of one tenant for another: %v", err)
	}
	_, err = w.SetMember(ctx, operator, w.now, w.tenant.ID, "ada", cloud.RoleViewer)
	w.must(err)
	if who, err = w.Identity(ctx, w.now, "hash of ci"); err != nil {
		t.Fatal(err)
	}
	if c, err := who.For(""); err != nil || c.Role != cloud.RoleViewer {
		t.Errorf("the token of a member who is now viewer: %+v, %v", c, err)
	}

	scoped := c
	scoped.Scope = cloud.ScopeRead
	_, err = w.token(scoped, cloud.NewToken{Name: "child", TenantID: w.tenant.ID, UserID: ada.ID, Role: cloud.RoleViewer})
	w.refused(err, cloud.CodeForbidden)

	w.must(w.RevokeToken(ctx, c, w.now, ci.ID))
	_, err = w.Identity(ctx, w.now, "hash of ci")
	w.refused(err, cloud.CodeUnauthorized)
}

func TestATokenOfTheOperatorsIsForOneTenantOrForAll(t *testing.T) {
	w := newWorld(t)
	_, err := w.token(operator, cloud.NewToken{Name: "billing", TenantID: w.tenant.ID, Role: cloud.RoleViewer, Scope: cloud.ScopeUsage})
	w.must(err)
	who, err := w.Identity(ctx, w.now, "hash of billing")
	w.must(err)
	c, err := who.For("")
	if err != nil || c.Operator || c.TenantID != w.tenant.ID || c.Role != cloud.RoleViewer || c.Scope != cloud.ScopeUsage {
		t.Errorf("caller %+v, %v", c, err)
	}
	_, err = w.token(operator, cloud.NewToken{Name: "root", Role: cloud.RoleOperator})
	w.must(err)
	who, err = w.Identity(ctx, w.now, "hash of root")
	w.must(err)
	if c, err = who.For(""); err != nil || !c.Operator {
		t.Errorf("caller %+v, %v", c, err)
	}
}

func TestAnEndedUserOrMembershipEndsItsTokens(t *testing.T) {
	w := newWorld(t)
	w.user("root", cloud.RoleAdmin)
	ada := w.user("ada", cloud.RoleMember)
	_, err := w.token(w.as(ada), cloud.NewToken{Name: "ci", TenantID: w.tenant.ID, UserID: ada.ID, Role: cloud.RoleMember})
	w.must(err)
	w.must(w.RemoveMember(ctx, operator, w.now, w.tenant.ID, "ada"))
	_, err = w.Identity(ctx, w.now, "hash of ci")
	w.refused(err, cloud.CodeUnauthorized)
	who, err := w.Identity(ctx, w.now, "session of ada"+w.now.String())
	w.must(err)
	_, err = who.For("")
	w.refused(err, cloud.CodeInvalid)
	w.must(w.DeleteUser(ctx, operator, w.now, "ada"))
	_, err = w.Identity(ctx, w.now, "session of ada"+w.now.String())
	w.refused(err, cloud.CodeUnauthorized)
	if _, hash, err := w.Credentials(ctx, "ada"); err != nil || hash != "" {
		t.Errorf("credentials of a deleted user: %q, %v", hash, err)
	}
	_, err = w.CreateUser(ctx, operator, w.now, cloud.NewUser{ID: id("another ada"), Name: "ada"}, "")
	w.must(err) // the name is free again
}

func TestATenantKeepsAnAdmin(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", cloud.RoleAdmin)
	c := w.as(ada)
	_, err := w.SetMember(ctx, c, w.now, w.tenant.ID, "ada", cloud.RoleViewer)
	w.refused(err, cloud.CodeConflict)
	w.refused(w.RemoveMember(ctx, c, w.now, w.tenant.ID, "ada"), cloud.CodeConflict)
	w.user("bob", cloud.RoleViewer)
	_, err = w.SetMember(ctx, c, w.now, w.tenant.ID, "bob", cloud.RoleAdmin)
	w.must(err)
	_, err = w.SetMember(ctx, c, w.now, w.tenant.ID, "bob", cloud.RoleOperator)
	w.refused(err, cloud.CodeInvalid)
	w.must(w.RemoveMember(ctx, c, w.now, w.tenant.ID, "ada"))
}

// A token for one tenant that fell into wrong hands must not end what its user
// does elsewhere, nor its logins.
func TestABoundTokenSeesAndEndsNoWiderOne(t *testing.T) {
	w := newWorld(t)
	other := w.newTenant("other")
	ada := w.user("ada", cloud.RoleAdmin)
	_, err := w.SetMember(ctx, operator, w.now, other.ID, "ada", cloud.RoleAdmin)
	w.must(err)
	who := w.session(ada)
	for _, n := range []cloud.NewToken{
		{Name: "admin", TenantID: w.tenant.ID, Role: cloud.RoleAdmin},
		{Name: "member", TenantID: w.tenant.ID, Role: cloud.RoleMember},
		{Name: "reader", TenantID: w.tenant.ID, Role: cloud.RoleMember, Scope: cloud.ScopeRead},
		{Name: "usage", TenantID: w.tenant.ID, Role: cloud.RoleViewer, Scope: cloud.ScopeUsage},
		{Name: "elsewhere", TenantID: other.ID, Role: cloud.RoleViewer},
	} {
		c, err := who.For(n.TenantID)
		w.must(err)
		n.UserID = ada.ID
		_, err = w.token(c, n)
		w.must(err)
	}
	see := func(c cloud.Caller) (names []string) {
		t.Helper()
		items, _, err := w.Tokens(ctx, c, w.now, cloud.Filter{}, cloud.Page{})
		w.must(err)
		for _, k := range items {
			names = append(names, k.Name)
		}
		slices.Sort(names)
		return names
	}
	for name, want := range map[string][]string{
		"admin": {"admin", "member", "reader", "usage"}, "member": {"member", "reader", "usage"}, "reader": {"reader", "usage"}, "usage": {"usage"}, "elsewhere": {"elsewhere"},
	} {
		id, err := w.Identity(ctx, w.now, "hash of "+name)
		w.must(err)
		c, err := id.For("")
		w.must(err)
		if diff := cmp.Diff(want, see(c)); diff != "" {
			t.Errorf("%s sees (-want +got):\n%s", name, diff)
		}
		w.refused(w.RevokeToken(ctx, c, w.now, who.TokenID), cloud.CodeNotFound)
	}
	c, err := who.For(other.ID)
	w.must(err)
	if diff := cmp.Diff([]string{"admin", "elsewhere", "login", "member", "reader", "usage"}, see(c)); diff != "" {
		t.Errorf("a session sees (-want +got):\n%s", diff)
	}
	member, err := w.Identity(ctx, w.now, "hash of member")
	w.must(err)
	c, err = member.For("")
	w.must(err)
	w.refused(w.RevokeToken(ctx, c, w.now, id("token", "elsewhere")), cloud.CodeNotFound)
	w.refused(w.RevokeToken(ctx, c, w.now, id("token", "admin")), cloud.CodeNotFound)
	w.must(w.RevokeToken(ctx, c, w.now, id("token", "reader")))
	w.must(w.RevokeToken(ctx, c, w.now, c.TokenID))
}

// A user that was taken into a second tenant could not do anything any more
// without naming one.
func TestOnlyAnOperatorPutsAUserIntoATenant(t *testing.T) {
	w := newWorld(t)
	ada := w.as(w.user("ada", cloud.RoleAdmin))
	bob := w.user("bob", "")
	_, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{ID: id("t2"), NetworkID: id("n2"), SubnetID: id("s2"), Name: "other"})
	w.must(err)
	_, err = w.SetMember(ctx, operator, w.now, id("t2"), "bob", cloud.RoleMember)
	w.must(err)
	var said []string
	for _, user := range []string{"bob", bob.ID, "nobody", id("nobody")} {
		_, err := w.SetMember(ctx, ada, w.now, w.tenant.ID, user, cloud.RoleViewer)
		w.refused(err, cloud.CodeNotFound)
		said = append(said, strings.ReplaceAll(cloud.MessageOf(err), user, "USER"))
		err = w.RemoveMember(ctx, ada, w.now, w.tenant.ID, user)
		w.refused(err, cloud.CodeNotFound)
		said = append(said, strings.ReplaceAll(cloud.MessageOf(err), user, "USER"))
	}
	if said = slices.Compact(said); len(said) != 1 || !strings.Contains(said[0], "ask an operator") {
		t.Errorf("an admin learns who there is: %q", said)
	}
	if who, err := w.session(bob).For(""); err != nil || who.TenantID != id("t2") {
		t.Errorf("bob is %+v, %v", who, err)
	}
	_, err = w.SetMember(ctx, operator, w.now, w.tenant.ID, "bob", cloud.RoleViewer)
	w.must(err)
	m, err := w.SetMember(ctx, ada, w.now, w.tenant.ID, "bob", cloud.RoleMember)
	w.must(err)
	if m.Role != cloud.RoleMember {
		t.Errorf("%+v", m)
	}
	w.must(w.RemoveMember(ctx, ada, w.now, w.tenant.ID, bob.ID))
}

func TestEverybodyMayLeave(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", cloud.RoleAdmin)
	for _, role := range []cloud.Role{cloud.RoleViewer, cloud.RoleMember} {
		u := w.user("a-"+string(role), role)
		c := w.as(u)
		for _, other := range []string{"ada", ada.ID, "nobody"} {
			w.refused(w.RemoveMember(ctx, c, w.now, w.tenant.ID, other), cloud.CodeForbidden)
		}
		w.refused(w.RemoveMember(ctx, c, w.now, id("t2"), u.Name), cloud.CodeNotFound)
		// A token for less than the user is must not put an end to more.
		less := c
		less.Scope = cloud.ScopeUsage
		w.refused(w.RemoveMember(ctx, less, w.now, w.tenant.ID, u.Name), cloud.CodeForbidden)
		if role == cloud.RoleMember {
			less = c
			less.Role = cloud.RoleViewer
			w.refused(w.RemoveMember(ctx, less, w.now, w.tenant.ID, u.Name), cloud.CodeForbidden)
		}
		w.must(w.RemoveMember(ctx, c, w.now, w.tenant.ID, u.Name))
		w.later(time.Minute)
		_, err := w.session(u).For("")
		w.refused(err, cloud.CodeInvalid)
	}
	w.refused(w.RemoveMember(ctx, w.as(ada), w.now, w.tenant.ID, "ada"), cloud.CodeConflict)
	_, err := w.token(operator, cloud.NewToken{Name: "nobody's", TenantID: w.tenant.ID, Role: cloud.RoleViewer})
	w.must(err)
	who, err := w.Identity(ctx, w.now, "hash of nobody's")
	w.must(err)
	c, err := who.For("")
	w.must(err)
	w.refused(w.RemoveMember(ctx, c, w.now, w.tenant.ID, "ada"), cloud.CodeForbidden)
}

func TestUsersAreForOperatorsAndThemselves(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.user("ada", cloud.RoleAdmin), w.user("bob", cloud.RoleMember)
	c := w.as(ada)
	_, err := w.CreateUser(ctx, c, w.now, cloud.NewUser{ID: id("eve"), Name: "eve"}, "")
	w.refused(err, cloud.CodeForbidden)
	_, err = w.User(ctx, c, bob.ID)
	w.refused(err, cloud.CodeNotFound)
	if u, err := w.User(ctx, c, "ada"); err != nil || u.ID != ada.ID || !u.HasPassword {
		t.Errorf("itself: %+v, %v", u, err)
	}
	w.refused(w.SetPassword(ctx, c, w.now, "bob", "x"), cloud.CodeNotFound)
	other, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{ID: id("other"), NetworkID: id("on"), SubnetID: id("os"), Name: "other"})
	w.must(err)
	_, err = w.CreateUser(ctx, operator, w.now, cloud.NewUser{ID: id("oda"), Name: "oda", Memberships: []cloud.Membership{{TenantID: "other", Role: cloud.RoleMember}}}, "")
	w.must(err)
	for tenant, want := range map[string]string{"": "ada bob oda", w.tenant.ID: "ada bob", other.ID: "oda"} {
		var got []string
		for page := (cloud.Page{Limit: 1, Sort: cloud.SortName}); ; {
			items, next, err := w.Users(ctx, operator, cloud.Filter{TenantID: tenant}, page)
			w.must(err)
			for _, u := range items {
				got = append(got, u.Name)
			}
			if page.Cursor = next; next == "" {
				break
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("users of %q: %v, want %s", tenant, got, want)
		}
	}
	_, _, err = w.Users(ctx, c, cloud.Filter{}, cloud.Page{})
	w.refused(err, cloud.CodeForbidden)
	_, err = w.CreateUser(ctx, operator, w.now, cloud.NewUser{ID: id("ada2"), Name: "ada"}, "")
	w.refused(err, cloud.CodeNameTaken)
	_, err = w.CreateUser(ctx, operator, w.now, cloud.NewUser{ID: id("z"), Name: "zoe", Memberships: []cloud.Membership{{TenantID: id("none"), Role: cloud.RoleViewer}}}, "")
	w.refused(err, cloud.CodeNotFound)
	if _, err := w.User(ctx, operator, "zoe"); cloud.CodeOf(err) != cloud.CodeNotFound {
		t.Errorf("half a user was left: %v", err)
	}
}

func TestTheAuditLogSaysWhoDidWhatAndStays(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", cloud.RoleMember)
	c := w.as(ada)
	c.Address, c.RequestID = "192.0.2.7", "req-1"
	in, err := w.CreateInstance(ctx, c, w.now, w.wanted("web1"))
	w.must(err)
	if _, err := w.PowerInstance(ctx, c, w.now, in.ID, cloud.PowerStop, false); err != nil {
		t.Fatal(err)
	}
	w.must(w.RecordRefusal(ctx, c, w.now, cloud.AuditEntry{TenantID: w.tenant.ID, Action: "tenant.delete", Result: string(cloud.CodeForbidden)}))

	all, err := w.Audit(ctx, operator, cloud.AuditFilter{User: "ada"})
	w.must(err)
	var got []string
	for _, e := range all {
		got = append(got, e.Action+" "+e.Name+" "+e.Result)
	}
	want := []string{"tenant.delete  forbidden", "instance.stop web1 ok", "instance.create web1 ok", "session.open login ok"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e := all[2]; e.UserID != ada.ID || e.UserName != "ada" || e.Address != "192.0.2.7" || e.RequestID != "req-1" || e.Subject.ID != in.ID || e.TenantID != w.tenant.ID || e.TokenID == "" {
		t.Errorf("entry %+v", e)
	}
	_, err = w.Audit(ctx, c, cloud.AuditFilter{})
	w.refused(err, cloud.CodeForbidden)
	admin := w.as(w.user("boss", cloud.RoleAdmin))
	mine, err := w.Audit(ctx, admin, cloud.AuditFilter{})
	w.must(err)
	for _, e := range mine {
		if e.TenantID != w.tenant.ID {
			t.Errorf("an admin sees %+v", e)
		}
	}
	for _, q := range []string{`UPDATE audit SET result = 'ok'`, `DELETE FROM audit`} {
		if err := store.Exec(w.DB, q); err == nil {
			t.Errorf("%s passes", q)
		}
	}
}

func TestTheLastUseOfATokenIsWrittenDown(t *testing.T) {
	w := newWorld(t)
	_, err := w.token(operator, cloud.NewToken{Name: "root", Role: cloud.RoleOperator})
	w.must(err)
	at := w.now.Add(time.Minute)
	_, err = w.Identity(ctx, at, "hash of root")
	w.must(err)
	w.must(w.RecordTokenUse(ctx, at))
	items, _, err := w.Tokens(ctx, operator, w.now, cloud.Filter{}, cloud.Page{})
	w.must(err)
	if len(items) != 1 || !items[0].LastUsedAt.Equal(at) {
		t.Errorf("tokens %+v", items)
	}
}

func TestOwnSessionsAreListedBesideTheTokensOfATenant(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.as(w.user("ada", cloud.RoleAdmin)), w.as(w.user("bob", cloud.RoleMember))
	_, err := w.token(bob, cloud.NewToken{TenantID: w.tenant.ID, UserID: bob.UserID, Name: "ci", Role: cloud.RoleMember})
	w.must(err)
	names := func(c cloud.Caller, name string) (got []string) {
		t.Helper()
		items, _, err := w.Tokens(ctx, c, w.now, cloud.Filter{TenantID: w.tenant.ID, Name: name}, cloud.Page{Limit: 10})
		w.must(err)
		for _, k := range items {
			got = append(got, k.UserName+" "+k.Name)
		}
		slices.Sort(got)
		return got
	}
	for _, c := range []struct {
		who  cloud.Caller
		name string
		want []string
	}{
		{ada, "", []string{"ada login", "bob ci"}},
		{ada, "login", []string{"ada login"}},
		{bob, "", []string{"bob ci", "bob login"}},
		{operator, "", []string{"bob ci"}}, // who has no session sees none
	} {
		if got := names(c.who, c.name); !slices.Equal(got, c.want) {
			t.Errorf("%s sees %q, not %q", c.who.UserName, got, c.want)
		}
	}
}

func TestNobodyButAnOperatorMakesATokenForTheInstallation(t *testing.T) {
	w := newWorld(t)
	ada := w.as(w.user("ada", cloud.RoleAdmin))
	for _, tenant := range []string{"", w.tenant.ID} {
		_, err := w.token(ada, cloud.NewToken{TenantID: tenant, Name: "all" + tenant, Role: cloud.RoleOperator})
		w.refused(err, cloud.CodeForbidden)
	}
	_, err := w.token(operator, cloud.NewToken{Name: "all", Role: cloud.RoleOperator})
	w.must(err)
}
