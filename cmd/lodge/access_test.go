package main

import (
	"syscall"
	"testing"
	"time"

	"lodge/api/wire"
)

const (
	adaID   = "77777777-7777-4777-8777-777777777777"
	tokenID = "88888888-8888-4888-8888-888888888888"

	secretToken = "lodge_0123456789abcdef_secret"
)

func inTenant(id, name, role string) wire.Membership {
	return wire.Membership{TenantID: id, TenantName: name, UserID: adaID, UserName: "ada", Role: role, CreatedAt: ago(time.Hour)}
}

func ada(ms ...wire.Membership) wire.User {
	return wire.User{ID: adaID, Name: "ada", Email: "ada@example.com", HasPassword: true, Memberships: ms, CreatedAt: ago(50 * time.Hour)}
}

func session(u wire.User) wire.Session {
	return wire.Session{Token: secretToken, ID: tokenID, User: u, ExpiresAt: ago(-12 * time.Hour)}
}

func TestUsersAreMadeAndShown(t *testing.T) {
	users := wire.List[wire.User]{Items: []wire.User{ada(), {Name: "operator", Operator: true, CreatedAt: ago(time.Hour)}}}
	person := func(secrets ...string) func(*bench) {
		return func(b *bench) {
			b.app.ttyIn, b.secrets = true, secrets
			b.on("POST /v1/users", status{201, ada()})
		}
	}
	me := func(w wire.Whoami) func(*bench) {
		return func(b *bench) {
			b.in.Reset("present words here\nother words here\n")
			b.on("GET /v1/whoami", w).on("PUT /v1/users/ada/password", nil)
		}
	}
	runGolden(t, []golden{
		{"user-list", "user list", func(b *bench) { b.on("GET /v1/users", users) }},
		{"user-list-json", "user list -o json", func(b *bench) { b.on("GET /v1/users", users) }},
		{"user-show", "user show ada", func(b *bench) {
			b.on("GET /v1/users/ada", ada(inTenant(acmeID, "acme", "admin"), inTenant(homeID, "default", "viewer")))
		}},
		{"user-create", "user create ada --email ada@example.com --tenant acme --role admin", person("correct horse battery", "correct horse battery")},
		{"user-create-typo", "user create ada", person("correct horse battery", "correct horse batter")},
		{"user-create-stdin", "user create ada --operator --password-stdin", func(b *bench) {
			b.in.Reset("correct horse battery\r\n")
			b.on("POST /v1/users", status{201, ada()})
		}},
		{"user-create-stdin-empty", "user create ada --password-stdin", nil},
		{"user-create-none", "user create ada --no-password -o yaml", person()},
		{"user-create-unasked", "user create ada", nil},
		{"user-create-both", "user create ada --no-password --password-stdin", nil},
		{"user-delete", "user delete ada", func(b *bench) { b.on("GET /v1/users/ada", ada()).on("DELETE /v1/users/"+adaID, nil) }},
		{"user-password", "user password --password-stdin", me(wire.Whoami{UserID: adaID, UserName: "ada", Role: "member", Via: "token"})},
		{"user-password-other", "user password ada --password-stdin", me(wire.Whoami{Role: "operator", Operator: true, Via: "socket"})},
		{"user-password-whose", "user password", me(wire.Whoami{Role: "operator", Operator: true, Via: "socket"})},
	})
}

func TestMembersAreChanged(t *testing.T) {
	acme := wire.List[wire.Tenant]{Items: []wire.Tenant{{ID: acmeID, Name: "acme"}}}
	members := "/v1/tenants/" + acmeID + "/members"
	prep := func(b *bench) {
		b.on("GET /v1/tenants", acme).on("GET /v1/whoami", wire.Whoami{TenantID: acmeID, Memberships: []wire.Membership{inTenant(acmeID, "acme", "admin")}}).
			on("GET "+members, wire.List[wire.Membership]{Items: []wire.Membership{inTenant(acmeID, "acme", "admin")}}).
			on("PUT "+members+"/ada", inTenant(acmeID, "acme", "viewer")).on("DELETE "+members+"/ada", nil)
	}
	runGolden(t, []golden{
		{"member-list", "member list --tenant acme", prep},
		{"member-list-own", "member list -o json", prep},
		{"member-list-whose", "member list", func(b *bench) { b.on("GET /v1/whoami", wire.Whoami{Operator: true}) }},
		{"member-add", "member add ada --role viewer --tenant " + acmeID, prep},
		{"member-add-role", "member add ada", nil},
		{"member-remove", "member remove ada", prep},
	})
}

func TestTokensAreMadeAndRevoked(t *testing.T) {
	ci := wire.Token{ID: tokenID, Name: "ci", Kind: "api", TenantID: acmeID, UserID: adaID, UserName: "ada", Role: "member", Scope: "all",
		CreatedAt: ago(time.Hour), ExpiresAt: ago(-30 * 24 * time.Hour), LastUsedAt: ago(3 * time.Minute)}
	made := ci
	made.Secret, made.LastUsedAt = secretToken, wire.Time{}
	old := wire.Token{ID: netID, Name: "login", Kind: "session", UserName: "ada", Role: "admin", Scope: "all", ExpiresAt: ago(time.Hour)}
	tokens := func(items ...wire.Token) func(*bench) {
		return func(b *bench) {
			b.on("GET /v1/tokens", wire.List[wire.Token]{Items: items}).on("POST /v1/tokens", status{201, made}).on("DELETE /v1/tokens/"+tokenID, nil).
				on("GET /v1/tenants", wire.List[wire.Tenant]{Items: []wire.Tenant{{ID: acmeID, Name: "acme"}}})
		}
	}
	runGolden(t, []golden{
		{"token-list", "token list", tokens(ci, old)},
		{"token-list-json", "token list -o json --tenant acme", tokens(ci)},
		{"token-create", "token create ci --role member --scope read --expires-in 30d --tenant acme", tokens()},
		{"token-create-json", "token create ci -o json", tokens()},
		{"token-create-unread", "token create ci", func(b *bench) { tokens()(b); b.app.out = closed{} }},
		{"token-create-unread-stays", "token create ci", func(b *bench) {
			tokens()(b)
			b.app.out = closed{}
			b.on("DELETE /v1/tokens/"+tokenID, problem{Status: 503, Code: "unavailable", Detail: "lodged is stopping; try again."})
		}},
		{"token-create-bad", "token create ci --expires-in soon", func(b *bench) {
			b.on("POST /v1/tokens", problem{Status: 400, Code: "invalid_request", Detail: "Give hours or days, such as 12h or 90d, at least 1h and at most 3650d.",
				Errors: []wire.FieldError{{Field: "expires_in", Message: "Give hours or days, such as 12h or 90d, at least 1h and at most 3650d."}}})
		}},
		{"token-revoke", "token revoke ci", tokens(ci)},
		{"token-revoke-id", "token revoke " + tokenID, tokens()},
		{"token-revoke-twice", "token revoke login", tokens(old, old)},
		{"token-revoke-missing", "token revoke nobody", tokens()},
	})
}

func TestQuotasAreShownAndSet(t *testing.T) {
	limit := func(n int64) *int64 { return &n }
	all := wire.List[wire.Quota]{Items: []wire.Quota{
		{Resource: "instances", Limit: limit(20), Used: 3}, {Resource: "memory_mib", Limit: limit(128 << 10), Default: true, Used: 6144},
		{Resource: "disk_gib", Default: true, Used: 60}, {Resource: "tokens", Limit: limit(0), Used: 0},
	}}
	path := "/v1/tenants/" + acmeID + "/quota"
	prep := func(b *bench) {
		b.on("GET /v1/tenants", wire.List[wire.Tenant]{Items: []wire.Tenant{{ID: acmeID, Name: "acme"}}}).
			on("GET "+path, all).on("PATCH "+path, all).on("GET /v1/quota", all).on("PATCH /v1/quota", all).
			on("GET /v1/whoami", wire.Whoami{TenantID: acmeID})
	}
	runGolden(t, []golden{
		{"quota-show", "quota show acme", prep},
		{"quota-show-own", "quota show -o json", prep},
		{"quota-show-tenant", "quota show --tenant " + acmeID, prep},
		{"quota-show-whose", "quota show", func(b *bench) { b.on("GET /v1/whoami", wire.Whoami{Operator: true}) }},
		{"quota-set", "quota set acme instances=20 memory=128GB disk=default", prep},
		{"quota-set-nothing", "quota set acme", nil},
		{"quota-set-word", "quota set acme instances", nil},
		{"quota-set-twice", "quota set acme memory=1GB memory_mib=5", nil},
		{"quota-set-number", "quota set acme vcpus=many", nil},
		{"quota-set-size", "quota set acme memory=1KB", nil},
		{"quota-set-none", "quota set acme vcpus=none", nil},
		{"quota-set-unknown", "quota set acme cows=1", func(b *bench) {
			prep(b)
			b.on("PATCH "+path, problem{Status: 400, Code: "invalid_request", Detail: "There is no resource \"cows\" with a quota."})
		}},
		{"quota-default", "quota default", prep},
		{"quota-default-set", "quota default instances=10 floating_ips=none", prep},
		{"quota-default-forbidden", "quota default tokens=5", func(b *bench) {
			b.on("PATCH /v1/quota", problem{Status: 403, Code: "forbidden", Detail: "Only an operator sets quotas; ask yours."})
		}},
		{"quota-complete", "__complete quota set acme in", prep},
	})
}

func TestTheAuditLogIsShown(t *testing.T) {
	entry := func(seq int64, action, result string) wire.AuditEntry {
		return wire.AuditEntry{Seq: seq, At: ago(time.Minute), TenantID: homeID, UserID: adaID, UserName: "ada", Via: "token", Address: "192.0.2.7",
			Action: action, SubjectKind: "instance", SubjectID: web1ID, Name: "web1", Result: result}
	}
	stranger := wire.AuditEntry{Seq: 7, At: ago(time.Minute), Via: "login", Address: "192.0.2.9", Action: "session.open", Name: "\x1b]0;mine\a\tx", Result: "unauthorized"}
	log := wire.List[wire.AuditEntry]{Items: []wire.AuditEntry{entry(9, "instance.delete", "ok"), stranger}}
	runGolden(t, []golden{
		{"audit", "audit", func(b *bench) { b.on("GET /v1/audit", log) }},
		{"audit-narrow", "audit --user ada --action instance.delete --subject " + web1ID + " --refused --limit 3 --tenant acme -o json", func(b *bench) {
			b.on("GET /v1/audit", wire.List[wire.AuditEntry]{})
		}},
		{"audit-parts", "audit --limit 600", func(b *bench) {
			first := log
			first.Next = "7"
			b.on("GET /v1/audit", first, wire.List[wire.AuditEntry]{Items: []wire.AuditEntry{entry(3, "instance.create", "ok")}})
		}},
		{"audit-none", "audit --limit 0", nil},
		{"audit-forbidden", "audit", func(b *bench) {
			b.on("GET /v1/audit", problem{Status: 403, Code: "forbidden", Detail: "The audit log is for the admins of the tenant."})
		}},
	})
}

// closed is standard output that nobody reads any more.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, syscall.EPIPE }
