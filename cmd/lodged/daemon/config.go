// Package daemon wires the rooms of lodge together: it opens them in order,
// runs them, and closes them in the other order. It decides nothing.
package daemon

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"
)

// Config is everything a daemon is told. The flags of lodged fill it, and tests
// do.
type Config struct {
	DataDir    string
	Socket     string // path of the operator's unix socket
	Sim        bool   // a pretend host in place of libvirt
	LibvirtURI string
	Accel      string // auto, kvm or tcg

	Workers         int
	SweepEvery      time.Duration
	MaxImageBytes   int64
	MaxVirtualBytes int64
	ImportAllow     []netip.Prefix // targets that import by URL may reach although they are not public
	NetworkPool     netip.Prefix   // the default networks of tenants are cut out of it

	Version string
	Commit  string // of the source it was built from, "" unknown
	Now     func() time.Time
	NewID   func() string
	Log     *slog.Logger
}

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.DataDir}, elem...)...)
}
