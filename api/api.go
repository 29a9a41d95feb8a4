package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"lodge/api/wire"
	"lodge/cloud"
)

// Options are what the front needs. The stores, Now, NewID and Caller are
// required.
type Options struct {
	Tenants   Tenants
	Flavors   Flavors
	Images    Images
	Uploads   ImageUploads
	Sink      ImageSink
	Networks  Networks
	Instances Instances
	// Refs is a cheaper way to lists of instances; nil: Instances is asked.
	Refs    InstanceRefs
	Powers  Powers
	Bulk    Bulk
	Console Console
	Events  Events
	Usage   Usage
	Facts   Facts
	Hosts   Hosts
	Health  Health

	Accounts Accounts
	Users    Users
	Members  Members
	Tokens   Tokens
	Quotas   Quotas
	SignOn   SignOn // nil: there is no identity provider

	Operations Operations

	Prices    Prices
	Discounts Discounts
	Invoices  Invoices
	Billing   Billing
	Terms     cloud.InvoiceTerms // of invoices
	// UsageSink says how the receiver of usage is doing; nil: there is none.
	UsageSink func(context.Context) (cloud.SinkState, error)
	// Verified hears how much was wrong whenever the ledger was verified; nil:
	// nobody does.
	Verified func(wrong int64)

	Budgets   Budgets
	Webhooks  Webhooks
	Schedules Schedules

	Now   func() time.Time
	NewID func() string // a new UUID
	// Caller says who asks. Returns CodeUnauthorized when that is nobody.
	Caller func(*http.Request) (cloud.Caller, error)
	Audit  Audit // nil: what is refused or fails is not written down
	Rates  Rates // nil: everybody may send as much as it likes
	// Origins are those of web pages that may read answers (CORS), as
	// https://ui.example; none: no page may.
	Origins []string
	// URLCheck refuses URLs that images must not be fetched from; nil:
	// cloud.CheckURL.
	URLCheck func(string) error
	// WebhookCheck refuses URLs that must not be told anything; nil: cloud.CheckURL.
	WebhookCheck func(string) error
	// Stopping, when it closes, ends the uploads, waits and streams under way; nil:
	// they run on.
	Stopping <-chan struct{}
	Log      *slog.Logger // nil: nothing is logged
	Watch    Watch        // nil: nobody sees the requests
	Metrics  http.Handler // answers GET /metrics; nil: there is nothing
	Version  wire.Version
}

// server answers requests. It keeps nothing between them but rendered JSON.
type server struct {
	Options
	log       *slog.Logger
	instances *fragments // rendered instances
	streams   *seats     // of streams of events
	exports   *seats     // of exports, which last as long as their readers like
	failures  *failures  // that are written down
	bodies    *bodies    // that are being read
	lingerers *lingerers // whose bodies nobody wants
	desks     desks
	verifying sync.Mutex // the ledger, one at a time
}

// New makes the handler of everything lodge answers over HTTP.
func New(o Options) http.Handler {
	s := newServer(o)
	return s.edge(s.router())
}

func newServer(o Options) *server {
	s := &server{Options: o, log: o.Log, instances: newFragments(maxFragments), streams: newSeats(), exports: newExports(), failures: newFailures(), bodies: newBodies(), lingerers: &lingerers{of: map[string]int{}}, desks: newDesks(o.Stopping)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.URLCheck == nil {
		s.URLCheck = cloud.CheckURL
	}
	if s.WebhookCheck == nil {
		s.WebhookCheck = cloud.CheckURL
	}
	s.Version.API = "v1"
	return s
}

// handler answers one request of a caller; an error it returns is rendered for
// it.
type handler func(w http.ResponseWriter, r *http.Request, c cloud.Caller) error

// route is one line of the API.
type route struct {
	method, path string
	need         cloud.Role // of the caller; "" is open to everybody
	handle       handler
}

// open is for routes that ask nobody who they are.
const open cloud.Role = ""

// routes is every route, the busiest first: the router tries them in order.
func (s *server) routes() []route {
	const (
		viewer   = cloud.RoleViewer
		member   = cloud.RoleMember
		admin    = cloud.RoleAdmin
		operator = cloud.RoleOperator
	)
	return []route{
		{"GET", "/v1/instances/{id}", viewer, s.getInstance},
		{"GET", "/v1/instances", viewer, s.listInstances},
		{"POST", "/v1/instances", member, s.createInstance},
		{"PATCH", "/v1/instances/{id}", member, s.updateInstance},
		{"DELETE", "/v1/instances/{id}", member, s.deleteInstance},
		{"DELETE", "/v1/instances", member, s.bulk(cloud.BulkDelete)},
		{"POST", "/v1/instances/start", member, s.bulk(cloud.BulkStart)},
		{"POST", "/v1/instances/stop", member, s.bulk(cloud.BulkStop)},
		{"POST", "/v1/instances/{id}/start", member, s.power(cloud.PowerStart)},
		{"POST", "/v1/instances/{id}/stop", member, s.power(cloud.PowerStop)},
		{"POST", "/v1/instances/{id}/reboot", member, s.power(cloud.PowerReboot)},
		{"GET", "/v1/instances/{id}/console-log", member, s.consoleLog},
		{"GET", "/v1/operations/{id}", viewer, s.getOperation},
		{"GET", "/v1/operations", viewer, s.listOperations},
		{"POST", "/v1/operations/{id}/cancel", member, s.cancelOperation},
		{"GET", "/v1/events", viewer, s.listEvents},
		{"GET", "/v1/events/stream", viewer, s.streamEvents},
		{"GET", "/v1/usage", viewer, s.usage},
		{"GET", "/v1/usage/verify", operator, s.verifyUsage},
		{"GET", "/v1/cost", viewer, s.cost},
		{"GET", "/v1/invoices", viewer, s.listInvoices},
		{"POST", "/v1/invoices", operator, s.createInvoice},
		{"GET", "/v1/invoices/draft", viewer, s.draftInvoice},
		{"GET", "/v1/invoices/{id}", viewer, s.getInvoice},
		{"GET", "/v1/export/focus", viewer, s.exportFocus},
		{"GET", "/v1/export/sink", operator, s.usageSink},
		{"POST", "/v1/estimates", viewer, s.createEstimate},
		{"GET", "/v1/prices", viewer, s.listPrices},
		{"POST", "/v1/prices", operator, s.createPrice},
		{"GET", "/v1/prices/{id}", viewer, s.getPrice},
		{"POST", "/v1/prices/{id}/end", operator, s.endPrice},
		{"GET", "/v1/discounts", viewer, s.listDiscounts},
		{"POST", "/v1/discounts", operator, s.createDiscount},
		{"GET", "/v1/discounts/{id}", viewer, s.getDiscount},
		{"POST", "/v1/discounts/{id}/end", operator, s.endDiscount},
		{"GET", "/v1/budgets", viewer, s.listBudgets},
		{"POST", "/v1/budgets", admin, s.createBudget},
		{"GET", "/v1/budgets/{id}", viewer, s.getBudget},
		{"PATCH", "/v1/budgets/{id}", admin, s.updateBudget},
		{"DELETE", "/v1/budgets/{id}", admin, s.deleteBudget},
		{"GET", "/v1/webhooks", admin, s.listWebhooks},
		{"POST", "/v1/webhooks", admin, s.createWebhook},
		{"GET", "/v1/webhooks/{id}", admin, s.getWebhook},
		{"PATCH", "/v1/webhooks/{id}", admin, s.updateWebhook},
		{"POST", "/v1/webhooks/{id}/secret", admin, s.rotateWebhook},
		{"DELETE", "/v1/webhooks/{id}", admin, s.deleteWebhook},
		{"GET", "/v1/schedules", viewer, s.listSchedules},
		{"POST", "/v1/schedules", member, s.createSchedule},
		{"GET", "/v1/schedules/{id}", viewer, s.getSchedule},
		{"PATCH", "/v1/schedules/{id}", member, s.updateSchedule},
		{"DELETE", "/v1/schedules/{id}", member, s.deleteSchedule},
		{"POST", "/v1/tenants", operator, s.createTenant},
		{"GET", "/v1/tenants", viewer, s.listTenants},
		{"GET", "/v1/tenants/{id}", viewer, s.getTenant},
		{"PATCH", "/v1/tenants/{id}", operator, s.updateTenant},
		{"DELETE", "/v1/tenants/{id}", operator, s.deleteTenant},
		{"POST", "/v1/images", member, s.createImage},
		{"GET", "/v1/images", viewer, s.listImages},
		{"GET", "/v1/images/{id}", viewer, s.getImage},
		{"PATCH", "/v1/images/{id}", member, s.updateImage},
		{"DELETE", "/v1/images/{id}", member, s.deleteImage},
		{"POST", "/v1/flavors", operator, s.createFlavor},
		{"GET", "/v1/flavors", viewer, s.listFlavors},
		{"GET", "/v1/flavors/{id}", viewer, s.getFlavor},
		{"DELETE", "/v1/flavors/{id}", operator, s.deleteFlavor},
		{"GET", "/v1/networks", viewer, s.listNetworks},
		{"GET", "/v1/networks/{id}", viewer, s.getNetwork},
		{"PATCH", "/v1/networks/{id}", member, s.updateNetwork},
		{"GET", "/v1/hosts", operator, s.listHosts},
		{"POST", "/v1/sessions", open, s.login},
		{"GET", "/v1/sessions/oidc", open, s.getSignOn},
		{"POST", "/v1/sessions/oidc", open, s.finishSignOn},
		{"POST", "/v1/sessions/oidc/start", open, s.startSignOn},
		{"DELETE", "/v1/sessions/current", viewer, s.logout},
		{"GET", "/v1/whoami", viewer, s.whoami},
		{"POST", "/v1/users", operator, s.createUser},
		{"GET", "/v1/users", operator, s.listUsers},
		{"GET", "/v1/users/{user}", viewer, s.getUser},
		{"DELETE", "/v1/users/{user}", operator, s.deleteUser},
		{"PUT", "/v1/users/{user}/password", viewer, s.setPassword},
		{"PUT", "/v1/users/{user}/identity", operator, s.linkUser},
		{"DELETE", "/v1/users/{user}/identity", operator, s.unlinkUser},
		{"GET", "/v1/tenants/{id}/members", viewer, s.listMembers},
		{"GET", "/v1/tenants/{id}/members/{user}", viewer, s.getMember},
		{"PUT", "/v1/tenants/{id}/members/{user}", admin, s.setMember},
		{"DELETE", "/v1/tenants/{id}/members/{user}", viewer, s.removeMember},
		{"POST", "/v1/tokens", viewer, s.createToken},
		{"GET", "/v1/tokens", viewer, s.listTokens},
		{"GET", "/v1/tokens/{id}", viewer, s.getToken},
		{"DELETE", "/v1/tokens/{id}", viewer, s.revokeToken},
		{"GET", "/v1/tenants/{id}/quota", viewer, s.getQuota},
		{"PATCH", "/v1/tenants/{id}/quota", operator, s.setQuota},
		{"GET", "/v1/quota", operator, s.getDefaultQuota},
		{"PATCH", "/v1/quota", operator, s.setDefaultQuota},
		{"GET", "/v1/audit", admin, s.listAudit},
		{"GET", "/v1/version", open, s.version},
		{"GET", "/v1/openapi.yaml", open, s.openAPI},
		{"GET", "/openapi.yaml", open, s.openAPI},
		{"GET", "/docs", open, s.docs},
		{"GET", "/metrics", operator, s.metrics},
		{"GET", "/healthz", open, s.healthz},
		{"GET", "/readyz", open, s.readyz},
	}
}

func (s *server) router() *mux.Router {
	m := mux.NewRouter().SkipClean(true)
	for _, rt := range s.routes() {
		// Path before method: the other way round mux forgets that an earlier
		// route had the path and answers 404 in place of 405.
		m.Path(rt.path).Methods(rt.method).Handler(s.handler(rt))
	}
	m.NotFoundHandler = s.handler(route{handle: func(_ http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
		return cloud.Errorf(cloud.CodeNotFound, "There is nothing at %s.", shortPath(r))
	}})
	m.MethodNotAllowedHandler = s.handler(route{handle: func(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
		allow := allowed(m, r)
		w.Header().Set("Allow", allow)
		return cloud.Errorf(cloud.CodeMethod, "%s takes %s, not %s.", shortPath(r), allow, quote(r.Method))
	}})
	return m
}

func (s *server) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w, ok := w.(*response); ok {
			w.method, w.route = rt.method, rt.path
		}
		c, err := s.admit(w, r, rt)
		if err == nil {
			about(w, c.TenantID)
			s.bodies.count(w, r, rt, c)
			if err = s.stand(w, r, rt, c); err == nil {
				err = rt.handle(w, r, c)
			}
		}
		var rehearsal *cloud.Rehearsal
		if errors.As(err, &rehearsal) {
			err = s.replyRehearsal(w, r, c, rehearsal)
		}
		var replay *cloud.Replay
		switch {
		case errors.As(err, &replay):
			replyAgain(w, rt, replay)
		case err != nil:
			defer s.recordFailure(r, rt, c, err) // also where the answer is cut off
			s.fail(w, r, err)
		}
	})
}

// allowed lists the methods that a path takes.
func allowed(m *mux.Router, r *http.Request) string {
	out := ""
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe := *r
		probe.Method = method
		var match mux.RouteMatch
		if m.Match(&probe, &match) && match.MatchErr == nil {
			if out != "" {
				out += ", "
			}
			out += method
			if method == "GET" {
				out += ", HEAD"
			}
		}
	}
	return out
}
