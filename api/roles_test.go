package api_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/api"
	"lodge/api/wire"
	"lodge/auth"
	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

var update = flag.Bool("update", false, "write the generated parts of docs/api.md anew")

// accounts hash cheaply: what a hash costs is another room's test.
func accounts(db *store.DB) *auth.Accounts {
	a := auth.NewAccounts(db, db, func() string { return uuid.Must(uuid.NewV7()).String() })
	a.Cost = auth.Cost{Time: 1, MemoryKiB: 64, Threads: 1}
	return a
}

// guarded is a house whose door asks for tokens.
type guarded struct {
	*house
	tokens  map[string]string // by actor
	tenants map[string]cloud.Tenant
}

const goodPassword = "a few random words"

// newGuarded has two tenants with a viewer, a member and an admin each, and an
// operator who is in none.
func newGuarded(t *testing.T, change ...func(*api.Options)) *guarded {
	t.Helper()
	peopled.Lock()
	defer peopled.Unlock()
	if peopled.file == nil {
		g := guard(t, newHouse(t))
		copied := filepath.Join(t.TempDir(), "peopled.db")
		if err := store.Copy(context.Background(), g.path, copied); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(copied)
		if err != nil {
			t.Fatal(err)
		}
		peopled.file, peopled.tokens, peopled.tenants = b, g.tokens, g.tenants
	}
	path := filepath.Join(t.TempDir(), "lodge.db")
	if err := os.WriteFile(path, peopled.file, 0o600); err != nil {
		t.Fatal(err)
	}
	g := &guarded{house: houseAt(t, path, change...), tokens: maps.Clone(peopled.tokens), tenants: maps.Clone(peopled.tenants)}
	g.lock()
	return g
}

// peopled is the database of a guarded house and who is in it: most tests of all
// routes want one for each request, and the passwords of seven take their time.
var peopled struct {
	sync.Mutex
	file    []byte
	tokens  map[string]string
	tenants map[string]cloud.Tenant
}

// lock has the door ask for tokens.
func (g *guarded) lock() {
	door := auth.Door{Identities: g.db, Now: func() time.Time { return g.store.now }}
	g.front.door = door.Caller
}

func guard(t *testing.T, h *house) *guarded {
	t.Helper()
	g := &guarded{house: h, tokens: map[string]string{"nobody": ""}, tenants: map[string]cloud.Tenant{}}
	now := h.store.now
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	acc := accounts(h.db)
	user := func(actor string, n cloud.NewUser) {
		n.ID, n.Name = uuid.NewString(), strings.ReplaceAll(actor, " ", "-")
		_, err := acc.CreateUser(ctx, operator, now, n, goodPassword)
		must(err)
		secret, _, err := acc.Login(ctx, cloud.Caller{Via: "login", Address: "192.0.2.1"}, now, n.Name, goodPassword)
		must(err)
		g.tokens[actor] = secret
	}
	for _, name := range []string{"ours", "theirs"} {
		tenant, err := h.db.CreateTenant(ctx, operator, now, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString(), Name: name})
		must(err)
		g.tenants[name] = tenant
		for _, role := range []cloud.Role{cloud.RoleViewer, cloud.RoleMember, cloud.RoleAdmin} {
			user(name+" "+string(role), cloud.NewUser{Memberships: []cloud.Membership{{TenantID: tenant.ID, Role: role}}})
		}
	}
	user("operator", cloud.NewUser{Operator: true})
	g.lock()
	return g
}

// as sends a request with the token of an actor.
func (g *guarded) as(actor, method, path, body string) *answer {
	g.t.Helper()
	var header []string
	if secret := g.tokens[actor]; secret != "" {
		header = []string{"Authorization", "Bearer " + secret}
	}
	return g.do(method, path, body, header...)
}

// reach is a request for a route about something of tenant ours.
func (g *guarded) reach(r api.Rule, ids map[string]string) (path, body string) {
	path = r.Path
	noun := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")[0]
	path = strings.NewReplacer("{id}", ids[noun], "{user}", "ours-viewer").Replace(path)
	switch r.Method + " " + r.Path {
	case "POST /v1/instances":
		body = `{"name":"new"}`
	case "DELETE /v1/instances", "POST /v1/instances/start", "POST /v1/instances/stop":
		path += "?all=true"
	case "PATCH /v1/instances/{id}":
		body = `{"labels":{"a":"b"}}`
	case "POST /v1/tenants":
		body = `{"name":"new"}`
	case "POST /v1/images":
		body = `{"name":"new","url":"https://example.org/x.qcow2"}`
	case "PATCH /v1/images/{id}", "PATCH /v1/tenants/{id}", "PATCH /v1/networks/{id}":
		body = `{"labels":{"a":"b"}}`
	case "POST /v1/prices":
		body = `{"meter":"disk","unit_price":"0.0001","currency":"EUR"}`
	case "POST /v1/invoices":
		body = `{"tenant":"ours","month":"2026-01"}`
	case "POST /v1/discounts":
		body = `{"tenant":"ours","meter":"disk","percent":"5"}`
	case "POST /v1/budgets":
		body = `{"name":"new","amount":"10","thresholds":[{"percent":50,"on":"actual","action":"notify"}]}`
	case "PATCH /v1/budgets/{id}":
		body = `{"amount":"20"}`
	case "POST /v1/webhooks":
		body = `{"name":"new","url":"https://hooks.example.org/x"}`
	case "PATCH /v1/webhooks/{id}":
		body = `{"url":"https://hooks.example.org/y"}`
	case "POST /v1/schedules":
		body = `{"name":"new","label":"env=dev","start":"0 7 * * *","stop":"0 20 * * *"}`
	case "PATCH /v1/schedules/{id}":
		body = `{"enabled":false}`
	case "POST /v1/estimates":
		body = `{"size":"1 vCPU, 1GB"}`
	case "POST /v1/flavors":
		body = `{"id":"c9-m9","vcpus":9,"memory_mib":9216,"disk_gib":20}`
	case "POST /v1/sessions":
		body = `{"user":"ours-viewer","password":"` + goodPassword + `"}`
	case "POST /v1/users":
		body = `{"name":"new"}`
	case "PUT /v1/users/{user}/password":
		body = `{"password":"another few words","current":"` + goodPassword + `"}`
	case "PUT /v1/users/{user}/identity":
		body = `{"issuer":"https://id.example","subject":"s"}`
	case "POST /v1/sessions/oidc/start":
		body = `{"redirect_uri":"http://127.0.0.1:4711/callback"}`
	case "POST /v1/sessions/oidc":
		body = `{"login":"made up","state":"s","code":"c"}`
	case "PUT /v1/tenants/{id}/members/{user}":
		body = `{"role":"viewer"}`
	case "PATCH /v1/tenants/{id}/quota", "PATCH /v1/quota":
		body = `{"limits":{"instances":100}}`
	case "POST /v1/tokens":
		body = `{"name":"new","role":"viewer","tenant":"ours"}`
	}
	return path, body
}

// asOperator is a path as an operator has to ask it: a change of many instances
// is of a tenant that it names.
func asOperator(path string) string {
	if strings.HasSuffix(path, "?all=true") {
		return path + "&tenant=ours"
	}
	return path
}

// inQuery adds a parameter to a path.
func inQuery(path, parameter string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameter
	}
	return path + "?" + parameter
}

// objects makes something of tenant ours for each noun of a path.
func (g *guarded) objects() map[string]string {
	g.t.Helper()
	ctx, now := context.Background(), g.store.now
	must := func(err error) {
		g.t.Helper()
		if err != nil {
			g.t.Fatal(err)
		}
	}
	ours := g.tenants["ours"].ID
	img, err := g.db.CreateImage(ctx, operator, now, cloud.NewImage{ID: uuid.NewString(), TenantID: ours, Name: "secret-image", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	must(err)
	must(g.db.RecordImage(ctx, now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatRaw, SizeBytes: 1 << 20, VirtualSize: 1 << 20}}))
	pub, err := g.db.CreateImage(ctx, operator, now, cloud.NewImage{ID: uuid.NewString(), TenantID: g.tenants["theirs"].ID, Name: "public", Public: true, Default: true, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	must(err)
	must(g.db.RecordImage(ctx, now, cloud.ImageRecord{ID: pub.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatRaw, SizeBytes: 1 << 20, VirtualSize: 1 << 20}}))
	begin := operator
	begin.Begin = &cloud.Begin{NewID: uuid.NewString}
	in, err := g.db.CreateInstance(ctx, begin, now, cloud.NewInstance{ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: ours, Name: "secret-instance", VCPUs: 1, MemoryMiB: 256})
	must(err)
	nets, _, err := g.db.Networks(ctx, operator, cloud.Filter{TenantID: ours}, cloud.Page{})
	must(err)
	_, k, err := accounts(g.db).CreateToken(ctx, operator, now, cloud.NewToken{ID: uuid.NewString(), Kind: cloud.TokenAPI, Name: "secret-token", TenantID: ours, Role: cloud.RoleViewer})
	must(err)
	price, err := g.db.CreatePrice(ctx, operator, now, cloud.Price{ID: uuid.NewString(), TenantID: ours, Meter: cloud.MeterVCPU, UnitPrice: "0.01", Currency: "EUR"}, false)
	must(err)
	discount, err := g.db.CreateDiscount(ctx, operator, now, cloud.Discount{ID: uuid.NewString(), TenantID: ours, Meter: cloud.MeterVCPU, Percent: "10"})
	must(err)
	invoice := g.invoiced(ours)
	// Nothing here is an operator's, so that an admin may change it.
	admin := cloud.Caller{TenantID: ours, Role: cloud.RoleAdmin, Via: "token"}
	budget, err := g.db.CreateBudget(ctx, admin, now, cloud.Budget{ID: uuid.NewString(), TenantID: ours, Name: "secret-budget", Amount: "10", Period: cloud.BudgetMonth,
		Thresholds: []cloud.BudgetThreshold{{Percent: 50, On: cloud.BudgetActual, Action: cloud.BudgetNotify}}}, meter.JudgeBudget)
	must(err)
	hook, err := g.db.CreateWebhook(ctx, admin, now, cloud.IssuedWebhook{Webhook: cloud.Webhook{ID: uuid.NewString(), TenantID: ours, Name: "secret-hook", URL: "https://hooks.example.org/"}, Secret: make([]byte, 32)})
	must(err)
	schedule, err := g.db.CreateSchedule(ctx, admin, now, cloud.Schedule{ID: uuid.NewString(), TenantID: ours, Name: "secret-schedule", Selector: "env=dev", Start: "0 7 * * *", Stop: "0 20 * * *", Zone: "Europe/Berlin", Enabled: true})
	must(err)
	return map[string]string{"invoices": invoice.ID, "budgets": budget.ID, "webhooks": hook.ID, "schedules": schedule.ID, "prices": price.ID, "discounts": discount.ID, "operations": begin.Begin.Begun[0], "instances": in.ID, "images": img.ID, "networks": nets[0].ID, "tenants": ours, "tokens": k.ID, "flavors": "c2-m4"}
}

// actors, the least first, so that what only the last may do does not take the
// object away from the others.
var ourActors = []string{"ours viewer", "ours member", "ours admin", "operator"}

func roleOf(actor string) cloud.Role {
	_, role, _ := strings.Cut(actor, " ")
	if role == "" {
		return cloud.RoleOperator
	}
	return cloud.Role(role)
}

func TestEveryRouteForEveryRole(t *testing.T) {
	for _, r := range api.Rules() {
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			g := newGuarded(t)
			path, body := g.reach(r, g.objects())
			nobody := g.as("nobody", r.Method, path, body)
			if r.Need == "" {
				if nobody.StatusCode == 401 || nobody.StatusCode == 403 {
					t.Errorf("an open route answers %d to nobody", nobody.StatusCode)
				}
				return
			}
			nobody.wantFailure(401, cloud.CodeUnauthorized)
			if nobody.Header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			for _, actor := range ourActors {
				if r.Method+" "+r.Path == "DELETE /v1/tenants/{id}/members/{user}" && actor != "operator" {
					// Everybody may leave, and only an admin takes out others.
					if roleOf(actor) != cloud.RoleAdmin {
						g.as(actor, r.Method, strings.Replace(path, "ours-viewer", "ours-admin", 1), body).wantFailure(403, cloud.CodeForbidden)
					}
					path = strings.Replace(path, "ours-viewer", strings.ReplaceAll(actor, " ", "-"), 1)
				}
				a := g.as(actor, r.Method, path, body)
				may := roleOf(actor).Covers(r.Need)
				switch {
				case a.StatusCode == 401, a.StatusCode >= 500:
					t.Errorf("%s: %d %s", actor, a.StatusCode, a.body)
				case !may:
					a.wantFailure(403, cloud.CodeForbidden)
				case a.StatusCode == 403 && !strings.Contains(r.Path, "password"):
					t.Errorf("%s may, and gets %d %s", actor, a.StatusCode, a.body)
				}
			}
		})
	}
}

// Whoever belongs to another tenant gets 404 for what is ours, or 403 where its
// role would not do anywhere, and never a word of it.
func TestEveryRouteKeepsOtherTenantsOut(t *testing.T) {
	for _, r := range api.Rules() {
		if r.Need == "" {
			continue
		}
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			g := newGuarded(t)
			ids := g.objects()
			path, body := g.reach(r, ids)
			for _, actor := range []string{"theirs viewer", "theirs member", "theirs admin"} {
				a := g.as(actor, r.Method, path, body)
				for _, word := range []string{"secret-", ids["instances"], ids["images"], ids["networks"], g.tenants["ours"].ID, ids["tokens"], ids["operations"]} {
					if strings.Contains(string(a.body), word) && !strings.Contains(path, word) {
						t.Errorf("%s is told of %s: %s", actor, word, a.body)
					}
				}
				switch {
				case !roleOf(actor).Covers(r.Need):
					a.wantFailure(403, cloud.CodeForbidden)
				case strings.Contains(r.Path, "{") && !strings.Contains(path, "flavors"):
					a.wantFailure(404, cloud.CodeNotFound)
				}
				if strings.Contains(r.Path, "{") {
					continue
				}
				// Naming our tenant opens nothing either.
				for _, name := range []string{"ours", g.tenants["ours"].ID} {
					b := g.as(actor, r.Method, inQuery(path, "tenant="+name), body)
					if b.StatusCode < 400 {
						t.Errorf("%s with tenant=%s: %d %s", actor, name, b.StatusCode, b.body)
					}
				}
			}
		})
	}
}

func TestAScopeNarrowsAToken(t *testing.T) {
	g := newGuarded(t)
	ids := g.objects()
	for scope, may := range map[string]func(api.Rule) bool{
		"read": func(r api.Rule) bool { return r.Method == http.MethodGet || r.Path == "/v1/estimates" },
		"usage": func(r api.Rule) bool {
			return slices.Contains([]string{"GET /v1/usage", "GET /v1/cost", "GET /v1/prices", "GET /v1/prices/{id}", "GET /v1/discounts", "GET /v1/discounts/{id}", "POST /v1/estimates",
				"GET /v1/invoices", "GET /v1/invoices/draft", "GET /v1/invoices/{id}", "GET /v1/export/focus"}, r.Method+" "+r.Path)
		},
	} {
		a := g.as("ours admin", "POST", "/v1/tokens", fmt.Sprintf(`{"name":%q,"scope":%q}`, scope, scope)).want(201)
		g.tokens[scope] = decoded[wire.Token](a).Secret
		for _, r := range api.Rules() {
			if r.Need == "" || !cloud.RoleAdmin.Covers(r.Need) {
				continue
			}
			path, body := g.reach(r, ids)
			a := g.as(scope, r.Method, path, body)
			if refused := a.StatusCode == 403; refused == may(r) {
				t.Errorf("scope %s, %s %s: %d %s", scope, r.Method, r.Path, a.StatusCode, a.body)
			}
		}
	}
}

const (
	tableBegin = "<!-- roles: generated by go test ./api -run Table -update -->\n"
	tableEnd   = "<!-- end of roles -->\n"
)

func TestTableOfRolesInTheDocs(t *testing.T) {
	table := "| route | viewer | member | admin | operator |\n|---|---|---|---|---|\n"
	for _, r := range api.Rules() {
		table += "| `" + r.Method + " " + r.Path + "` |"
		for _, role := range cloud.Roles() {
			switch {
			case r.Need == "":
				table += " open |"
			case role.Covers(r.Need):
				table += " yes |"
			default:
				table += " |"
			}
		}
		table += "\n"
	}
	const path = "../docs/api.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableBegin)
	old, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of roles", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table {
		t.Errorf("the table of roles in %s is old; run go test ./api -run Table -update", path)
	}
}

func TestTheFileSaysWhichRoutesAreOpen(t *testing.T) {
	doc := openAPI(t)
	for _, r := range api.Rules() {
		said := strings.Contains(string(doc.Paths[r.Path][strings.ToLower(r.Method)]), `"security":[]`)
		if said != (r.Need == "") {
			t.Errorf("%s %s: needs %q, and openapi.yaml says open: %v", r.Method, r.Path, r.Need, said)
		}
	}
	if !slices.ContainsFunc(api.Rules(), func(r api.Rule) bool { return r.Need == cloud.RoleOperator }) {
		t.Error("no route is for operators")
	}
}

// Whoever is in several tenants names the one it means, on every route; what is
// about itself needs none. An operator who names one beside an object reaches
// that tenant's objects only.
func TestAMemberOfSeveralTenantsNamesOne(t *testing.T) {
	for _, r := range api.Rules() {
		if r.Need == "" || r.Need == cloud.RoleOperator {
			continue
		}
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			g := newGuarded(t)
			ids := g.objects()
			if _, err := g.db.SetMember(context.Background(), operator, g.store.now, g.tenants["theirs"].ID, "ours-admin", cloud.RoleAdmin); err != nil {
				t.Fatal(err)
			}
			path, body := g.reach(r, ids)
			path = strings.ReplaceAll(path, "ours-viewer", "ours-admin")
			personal := strings.HasPrefix(r.Path, "/v1/users/") || r.Path == "/v1/whoami" || r.Path == "/v1/sessions/current"
			if !personal {
				g.as("ours admin", r.Method, path, strings.Replace(body, `,"tenant":"ours"`, "", 1)).wantFailure(400, cloud.CodeInvalid)
				if a := g.as("ours admin", r.Method, inQuery(path, "tenant=theirs"), body); strings.Contains(r.Path, "{id}") && !strings.Contains(r.Path, "flavors") && !strings.Contains(r.Path, "tokens") {
					a.wantFailure(404, cloud.CodeNotFound)
				}
				if a := g.as("operator", r.Method, inQuery(path, "tenant=theirs"), body); strings.Contains(r.Path, "{id}") && !strings.Contains(r.Path, "flavors") && !strings.Contains(r.Path, "tokens") {
					a.wantFailure(404, cloud.CodeNotFound)
				}
				path = inQuery(path, "tenant=ours")
				body = strings.ReplaceAll(body, `"name":"new"`, `"name":"newer"`)
			}
			if a := g.as("ours admin", r.Method, path, body); a.StatusCode >= 400 && a.StatusCode != 409 {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		})
	}
}

func TestAUserOfNoTenantCanLogInAndOut(t *testing.T) {
	g := newGuarded(t)
	ctx := context.Background()
	if err := g.db.RemoveMember(ctx, operator, g.store.now, g.tenants["ours"].ID, "ours-viewer"); err != nil {
		t.Fatal(err)
	}
	g.as("ours viewer", "GET", "/v1/instances", "").wantFailure(400, cloud.CodeInvalid)
	g.as("ours viewer", "GET", "/v1/whoami", "").want(200)
	g.as("ours viewer", "DELETE", "/v1/sessions/current", "").want(204)
	g.as("ours viewer", "GET", "/v1/whoami", "").wantFailure(401, cloud.CodeUnauthorized)
}
