// Package daemon wires the rooms of lodge together: it opens them in order,
// runs them, and closes them in the other order. It decides nothing.
package daemon

import (
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"lodge/cert"
	"lodge/cloud"
	"lodge/meter"
)

// Config is everything a daemon is told. The flags of lodged fill it, and tests
// do.
type Config struct {
	DataDir    string
	Socket     string // path of the operator's unix socket
	Listen     string // TCP address for tenants; "" none
	PlainHTTP  bool   // without TLS, on a loopback address only
	TLS        cert.Options
	OIDC       *OIDCConfig // nil: people log in with passwords
	RateLimit  int         // requests a second of each tenants' user, token or address; 0: no limit
	RateBurst  int         // requests of each at once
	Origins    []string    // of web pages that may read answers (CORS)
	Sim        bool        // a pretend host in place of libvirt
	LibvirtURI string
	Accel      string // auto, kvm or tcg

	// MetricsListen is a TCP address where everybody who reaches it may read the
	// metrics; "" none. One that is not a loopback address needs MetricsOpen.
	MetricsListen string
	MetricsOpen   bool
	// OTLPEndpoint is the collector of traces; "" leaves it to OTEL_* in the
	// environment, and without those there are none.
	OTLPEndpoint string

	Invoices cloud.InvoiceTerms // what invoices say of this installation
	// Sink is the URL that closed hours are sent to, "" for none; SinkTokenFile has
	// the token that it is shown, and SinkBatch is how many events it gets at once.
	Sink          string
	SinkTokenFile string
	SinkBatch     int

	Backups Backups

	VCPURatio   float64 // vCPUs promised for each CPU
	MemoryRatio float64 // memory promised, as a multiple of what is not reserved
	ReservedMiB int     // memory that is not for guests

	Workers         int
	SweepEvery      time.Duration
	MaxImageBytes   int64
	MaxVirtualBytes int64
	ImportAllow     []netip.Prefix // targets that import by URL may reach although they are not public
	WebhookAllow    []netip.Prefix // targets that webhooks may be at although they are not public
	NetworkPool     netip.Prefix   // the default networks of tenants are cut out of it

	Version string
	Commit  string // of the source it was built from, "" unknown
	Now     func() time.Time
	// Clocks are the clocks of this machine; with them the time that is written
	// down does not follow a wall clock that is set. Nil: it is what Now says.
	Clocks func() (meter.Tick, error)
	// TrustClock: the wall clock is right, however far it is ahead at the first look.
	TrustClock bool
	NewID      func() string
	Log        *slog.Logger
	Out        io.Writer // what is said once and is for no log
	// OutIsKept: Out is a log all the same, as systemd's journal; no secret goes there.
	OutIsKept bool
}

// database is the path of the database. A pretend host has one of another name,
// which starts anew each time.
func (c Config) database() string {
	if c.Sim {
		return c.path("sim.db")
	}
	return c.path("lodge.db")
}

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.DataDir}, elem...)...)
}
