package api

import (
	"log/slog"
	"net/http"
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
	Console Console
	Events  Events
	Usage   Usage
	Hosts   Hosts
	Health  Health

	Now    func() time.Time
	NewID  func() string                    // a new UUID
	Caller func(*http.Request) cloud.Caller // who asks
	// URLCheck refuses URLs that images must not be fetched from; nil:
	// cloud.CheckURL.
	URLCheck func(string) error
	// Stopping, when it closes, ends the uploads under way; nil: they run on.
	Stopping <-chan struct{}
	Log      *slog.Logger // nil: nothing is logged
	Version  wire.Version
}

// server answers requests. It keeps nothing between them but rendered JSON.
type server struct {
	Options
	log       *slog.Logger
	instances *fragments // rendered instances
}

// New makes the handler of everything lodge answers over HTTP.
func New(o Options) http.Handler {
	s := newServer(o)
	return s.middleware(s.router())
}

func newServer(o Options) *server {
	s := &server{Options: o, log: o.Log, instances: newFragments(maxFragments)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.URLCheck == nil {
		s.URLCheck = cloud.CheckURL
	}
	s.Version.API = "v1"
	return s
}

// handler answers one request; an error it returns is rendered for it.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is one line of the API.
type route struct {
	method, path string
	handle       handler
}

// routes is every route, the busiest first: the router tries them in order.
func (s *server) routes() []route {
	return []route{
		{"GET", "/v1/instances/{id}", s.getInstance},
		{"GET", "/v1/instances", s.listInstances},
		{"POST", "/v1/instances", s.createInstance},
		{"PATCH", "/v1/instances/{id}", s.updateInstance},
		{"DELETE", "/v1/instances/{id}", s.deleteInstance},
		{"POST", "/v1/instances/{id}/start", s.power(cloud.PowerStart)},
		{"POST", "/v1/instances/{id}/stop", s.power(cloud.PowerStop)},
		{"POST", "/v1/instances/{id}/reboot", s.power(cloud.PowerReboot)},
		{"GET", "/v1/instances/{id}/console-log", s.consoleLog},
		{"GET", "/v1/events", s.listEvents},
		{"GET", "/v1/usage", s.usage},
		{"POST", "/v1/tenants", s.createTenant},
		{"GET", "/v1/tenants", s.listTenants},
		{"GET", "/v1/tenants/{id}", s.getTenant},
		{"DELETE", "/v1/tenants/{id}", s.deleteTenant},
		{"POST", "/v1/images", s.createImage},
		{"GET", "/v1/images", s.listImages},
		{"GET", "/v1/images/{id}", s.getImage},
		{"PATCH", "/v1/images/{id}", s.updateImage},
		{"DELETE", "/v1/images/{id}", s.deleteImage},
		{"POST", "/v1/flavors", s.createFlavor},
		{"GET", "/v1/flavors", s.listFlavors},
		{"GET", "/v1/flavors/{id}", s.getFlavor},
		{"DELETE", "/v1/flavors/{id}", s.deleteFlavor},
		{"GET", "/v1/networks", s.listNetworks},
		{"GET", "/v1/networks/{id}", s.getNetwork},
		{"GET", "/v1/hosts", s.listHosts},
		{"GET", "/v1/version", s.version},
		{"GET", "/v1/openapi.yaml", s.openAPI},
		{"GET", "/openapi.yaml", s.openAPI},
		{"GET", "/healthz", s.healthz},
		{"GET", "/readyz", s.readyz},
	}
}

func (s *server) router() *mux.Router {
	m := mux.NewRouter().SkipClean(true)
	for _, rt := range s.routes() {
		// Path before method: the other way round mux forgets that an earlier
		// route had the path and answers 404 in place of 405.
		m.Path(rt.path).Methods(rt.method).Handler(s.handler(rt.handle))
	}
	m.NotFoundHandler = s.handler(func(_ http.ResponseWriter, r *http.Request) error {
		return cloud.Errorf(cloud.CodeNotFound, "There is nothing at %s.", shortPath(r))
	})
	m.MethodNotAllowedHandler = s.handler(func(w http.ResponseWriter, r *http.Request) error {
		allow := allowed(m, r)
		w.Header().Set("Allow", allow)
		return cloud.Errorf(cloud.CodeMethod, "%s takes %s, not %s.", shortPath(r), allow, quote(r.Method))
	})
	return m
}

func (s *server) handler(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
			linger(w, r)
		}
	})
}

// allowed lists the methods that a path takes.
func allowed(m *mux.Router, r *http.Request) string {
	out := ""
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
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
