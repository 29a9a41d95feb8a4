package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"lodge/api"
	"lodge/api/wire"
	"lodge/auth"
	"lodge/backup"
	"lodge/cert"
	"lodge/cloud"
	"lodge/export"
	"lodge/fetch"
	"lodge/meter"
	"lodge/reconcile"
	"lodge/store"
)

// Daemon is a whole lodged: open, run, close. Tests start it the same way as
// the command does.
type Daemon struct {
	cfg  Config
	lock *dirLock
	db   *store.DB
	host hands
	loop *reconcile.Loop
	http *http.Server
	sock net.Listener

	tcp   net.Listener // nil: tenants have no way in
	certs *cert.Source // nil: plain HTTP

	accounts *auth.Accounts
	signOn   api.SignOn // nil: no identity provider
	watched  watched
	sink     *export.Sender // nil: nobody gets closed hours
	backups  *backup.Runner // nil: none are scheduled

	clock    *timekeeper // nil: the time is what the configuration says
	started  time.Time
	stopping chan struct{} // closed when no new work is taken
	unknown  string        // id of this host while the hypervisor has not said what it is

	closeOnce sync.Once
}

const (
	// drain is how long requests under way get at the end.
	drain = 10 * time.Second
	// headerTimeout ends connections that never send a whole request. Bodies have
	// no such limit: an image may take hours.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// maxHeader and maxStreams keep one connection from taking much memory.
	maxHeader  = 32 << 10
	maxStreams = 64
	// receiveBuffer is how much of the bodies of one HTTP/2 connection lodged keeps
	// that nobody has read yet, in bytes. net/http takes 1 MiB, of thousands; an
	// upload gets so much in each round trip.
	receiveBuffer = 128 << 10
	// introduction is how long a start waits for what the hypervisor says of the
	// host: a libvirtd that systemd starts at the first call may look at every QEMU
	// before it answers, and one that hangs never does.
	introduction = 10 * time.Second
)

// Open takes the data dir, opens the parts in order and starts to listen.
// libvirt need not answer. What was opened before an error is closed again.
func Open(cfg Config) (_ *Daemon, err error) {
	d := &Daemon{cfg: cfg, started: cfg.Now(), stopping: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(explained(cfg.DataDir, err, d.lock != nil), d.Close())
		}
	}()
	// 0711: QEMU's user has to reach its disks, and nobody has to list them.
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return nil, fmt.Errorf("make the data dir: %w", err)
	}
	if err := refuseRoot(cfg); err != nil {
		return nil, err
	}
	if d.lock, err = lockDir(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := refuseHalfRestore(cfg); err != nil {
		return nil, err
	}
	_ = os.Remove(cfg.path(restoring)) // of a restore that has changed nothing
	sweepWork(cfg)
	if err := refuseLostDatabase(cfg); err != nil {
		return nil, err
	}
	if d.watched, err = newWatched(cfg); err != nil {
		return nil, err
	}
	if d.db, err = store.OpenWith(d.database(), store.Options{NetworkPool: cfg.NetworkPool, Observe: d.watched.observe}); err != nil {
		return nil, err
	}
	hostID, err := hostID(context.Background(), cfg, d.db)
	if err != nil {
		return nil, err
	}
	if cfg.Clocks != nil {
		if d.clock, err = newTimekeeper(context.Background(), d.db, hostID, turnable(cfg.Clocks), cfg.Log); err != nil {
			return nil, err
		}
		d.clock.trust = cfg.TrustClock
		cfg.Now = d.clock.Now
		d.cfg.Now, d.started = cfg.Now, cfg.Now()
	}
	if d.host, err = openHands(cfg, d.watched.observe); err != nil {
		return nil, err
	}
	if err := d.prepare(context.Background(), hostID); err != nil {
		return nil, err
	}
	d.loop = d.newLoop(hostID)
	if d.sock, err = listen(cfg.Socket); err != nil {
		return nil, err
	}
	if d.tcp, d.certs, err = openTCP(cfg); err != nil {
		return nil, err
	}
	d.accounts = auth.NewAccounts(d.db, d.db, cfg.NewID)
	if d.signOn, err = d.openSignOn(); err != nil {
		return nil, err
	}
	if err := d.welcome(context.Background()); err != nil {
		return nil, err
	}
	if d.sink, err = d.openSink(hostID); err != nil {
		return nil, err
	}
	if d.backups, err = d.openBackups(hostID); err != nil {
		return nil, err
	}
	if err := d.watched.open(d); err != nil {
		return nil, err
	}
	d.http = &http.Server{
		Handler:           d.handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: receiveBuffer, MaxReceiveBufferPerStream: receiveBuffer,
		},
		ConnContext: withConn,
		// OPTIONS * is a request like others.
		DisableGeneralOptionsHandler: true,
		// What clients do wrong in their handshakes is theirs to see.
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	if d.certs != nil {
		d.http.TLSConfig = d.certs.TLSConfig()
	}
	return d, nil
}

// database is the path of the database. A pretend host forgets everything when
// its lodged ends, so its database, which has a name of its own, starts anew.
func (d *Daemon) database() string {
	path := d.cfg.database()
	if !d.cfg.Sim {
		return path
	}
	for _, tail := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.Remove(path + tail) // what cannot be removed cannot be opened either
	}
	return path
}

// prepare brings the database to where a daemon can work on it.
func (d *Daemon) prepare(ctx context.Context, hostID string) error {
	now := d.cfg.Now()
	if err := d.register(ctx, hostID); err != nil {
		return err
	}
	first := cloud.NewTenant{ID: d.cfg.NewID(), NetworkID: d.cfg.NewID(), SubnetID: d.cfg.NewID()}
	if _, err := d.db.EnsureInstallation(ctx, now, first); err != nil {
		return fmt.Errorf("prepare the database: %w", err)
	}
	return forgetUploads(ctx, d.db, d.host.disks, now)
}

// register writes down what this host is, as far as it is known: while the
// hypervisor is away, what the kernel says.
func (d *Daemon) register(ctx context.Context, hostID string) error {
	asked, done := context.WithTimeout(ctx, introduction)
	defer done()
	host, err := d.host.describe(asked)
	if err != nil {
		d.cfg.Log.Warn("the hypervisor does not answer yet", "err", err)
		if host, err = localHost(); err != nil {
			return err
		}
		d.unknown = hostID
	}
	host.ID, host.Version, host.StartedAt = hostID, d.cfg.Version, d.started
	host.VCPURatio, host.MemoryRatio, host.ReservedMiB = d.cfg.VCPURatio, d.cfg.MemoryRatio, d.cfg.ReservedMiB
	if err := d.db.RegisterHost(ctx, d.cfg.Now(), host); err != nil {
		return fmt.Errorf("register this host: %w", err)
	}
	return nil
}

// learn registers the host again as soon as the hypervisor has answered.
func (d *Daemon) learn(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for d.unknown != "" {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		id := d.unknown
		if _, err := d.host.describe(ctx); err != nil {
			continue
		}
		d.unknown = ""
		if err := d.register(ctx, id); err != nil {
			d.cfg.Log.Error("register this host", "err", err)
			d.unknown = id
		}
	}
}

func (d *Daemon) newLoop(hostID string) *reconcile.Loop {
	var hosts reconcile.Hosts = d.db
	var skew func() time.Duration
	if d.clock != nil {
		hosts, skew = clocked{d.db, d.clock}, d.clock.Skew
	}
	loop := reconcile.New(armed(reconcile.Options{
		HostID: hostID,
		Guests: d.host.guests, Ends: d.host.ends, Counters: d.host.counters, Disks: d.host.disks, Nets: d.host.nets, Strays: d.host.strays,
		Fetcher:   fetch.New(fetch.Options{Allow: d.cfg.ImportAllow, MaxBytes: d.cfg.MaxImageBytes}),
		Instances: d.db, Networks: d.db, Images: d.db, Hosts: hosts, Traffic: d.db, Restores: d.db, Bell: d.db.Bell(),
		Now: d.cfg.Now, Skew: skew, Log: d.cfg.Log, Workers: d.cfg.Workers, SweepEvery: d.cfg.SweepEvery,
		Observe: d.watched.observe,
	}))
	if d.clock != nil {
		d.clock.settled = loop.Settled
	}
	return loop
}

func (d *Daemon) handler() http.Handler {
	check := fetch.New(fetch.Options{Allow: d.cfg.ImportAllow})
	return api.New(api.Options{
		Tenants: d.db, Flavors: d.db, Images: d.db, Uploads: d.db, Sink: d.host.disks, Networks: d.db,
		Instances: d.db, Refs: d.db, Powers: d.db, Bulk: d.db, Console: d.host.console, Events: d.db, Usage: d.db, Facts: d.db, Prices: d.db, Discounts: d.db, Budgets: d.db, Webhooks: d.db, Schedules: d.db, Invoices: d.db, Billing: d.db, Terms: d.cfg.Invoices, UsageSink: d.sinkState(), Verified: d.watched.verified, Hosts: d.db, Health: d.db,
		Now: d.cfg.Now, NewID: d.cfg.NewID, Log: d.cfg.Log, Version: wire.Version{Version: d.cfg.Version, Commit: d.cfg.Commit, Go: runtime.Version()},
		URLCheck: check.Check, WebhookCheck: fetch.New(fetch.Options{Allow: d.cfg.WebhookAllow}).Check, Stopping: d.stopping,
		Accounts: d.accounts, Users: d.db, Members: d.db, Tokens: d.db, Audit: d.db, Quotas: d.db, SignOn: d.signOn, Operations: d.db,
		Caller: d.caller(), Rates: d.rates(), Origins: d.cfg.Origins,
		Watch: d.watched.watch, Metrics: d.watched.scrapes,
	})
}

// Handler is the API of this daemon, for benchmarks that leave the socket out.
func (d *Daemon) Handler() http.Handler { return d.http.Handler }

// Run serves and reconciles until ctx ends, then stops in order: no new
// requests, those under way finish, the loop finishes its steps, everything is
// closed. Guests run on.
func (d *Daemon) Run(ctx context.Context) error {
	log := d.cfg.Log
	log.Info("lodged is up", "version", d.cfg.Version, "socket", d.cfg.Socket, "data_dir", d.cfg.DataDir, "host", d.host.name)
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	served := make(chan error, 3)
	worked := make(chan error, 1)
	go func() { served <- d.http.Serve(d.sock) }()
	if d.tcp != nil {
		log.Info("tenants are served", "address", d.tcp.Addr().String(), "tls", d.certs != nil)
		go func() { served <- d.serveTCP() }()
	}
	d.watched.serve(served)
	usage := make(chan struct{})
	go func() { defer close(usage); d.keepTokenUse(work) }()
	forgotten := make(chan struct{})
	go func() { defer close(forgotten); d.forgetOperations(work) }()
	go func() { worked <- d.loop.Run(work) }()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		(&meter.Closer{Books: d.db, Now: d.cfg.Now, Log: log, Observe: d.watched.observe}).Run(work)
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if d.sink != nil {
			d.sink.Run(work)
		}
	}()
	acted := d.act(work, d.loop.Adopted())
	learned := make(chan struct{})
	go func() { defer close(learned); d.learn(work) }()

	var err error
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case e := <-served:
		err = fmt.Errorf("serve: %w", e)
	case e := <-worked:
		err = fmt.Errorf("reconcile: %w", e)
		worked <- nil
	}
	close(d.stopping)
	last, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if e := d.http.Shutdown(last); e != nil {
		// A client that sends half a request does not make this a failed stop.
		log.Warn("requests that did not end were cut off", "err", e)
		err = errors.Join(err, d.http.Close())
	}
	err = errors.Join(err, d.watched.shutdown(last))
	stopWork()
	<-learned
	<-usage
	<-forgotten
	<-closed
	<-sent
	acted.Wait()
	err = errors.Join(err, <-worked, d.Close())
	log.Info("stopped")
	return err
}

// Close lets go of everything. It may be called twice.
func (d *Daemon) Close() (err error) {
	d.closeOnce.Do(func() {
		var closers []io.Closer
		if d.sock != nil {
			closers = append(closers, quiet{d.sock})
		}
		if d.tcp != nil {
			closers = append(closers, quiet{d.tcp})
		}
		closers = append(closers, d.watched)
		hands := slices.Clone(d.host.closers)
		slices.Reverse(hands)
		closers = append(closers, hands...)
		if d.db != nil {
			closers = append(closers, d.db)
		}
		if d.lock != nil {
			closers = append(closers, d.lock)
		}
		for _, c := range closers {
			err = errors.Join(err, c.Close())
		}
	})
	return err
}

// quiet does not mind that the server has closed its listener.
type quiet struct{ net.Listener }

func (q quiet) Close() error {
	if err := q.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
