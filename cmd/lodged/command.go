package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lodge/api"
	"lodge/cert"
	"lodge/cloud"
	"lodge/cmd/lodged/daemon"
)

// flags are lodged's flags as written; config makes them typed.
type flags struct {
	config      string
	dataDir     string
	listen      string
	plainHTTP   bool
	rateLimit   int
	rateBurst   int
	origins     []string
	vcpuRatio   float64
	memoryRatio float64
	reserved    string
	tlsHosts    []string
	tlsCert     string
	tlsKey      string
	acmeHosts   []string
	acmeEmail   string

	acmeDirectory string
	socket        string
	libvirtURI    string
	accel         string
	sim           bool
	logFormat     string
	logLevel      string
	workers       int
	sweep         time.Duration
	maxImage      string
	maxVirtual    string
	importAllow   []string
	webhookAllow  []string
	networkPool   string

	oidc          oidcFlags
	backup        backupFlags
	invoice       cloud.InvoiceTerms
	sink          string
	sinkToken     string
	sinkBatch     int
	trustClock    bool
	metricsListen string
	metricsOpen   bool
	otlpEndpoint  string
}

func command() *cobra.Command {
	var f flags
	var check bool
	cmd := &cobra.Command{
		Use:   "lodged",
		Short: "The lodge daemon: keeps this host's guests as their tenants want them",
		Long: "lodged serves the API on a unix socket and makes the host look like what the API was asked for.\n" +
			"Every flag can stand in the config file under its own name (without the dashes); a flag on the\n" +
			"command line wins.",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.read(cmd.Flags()); err != nil {
				return err
			}
			cfg, err := f.daemon()
			if err != nil {
				return err
			}
			if check {
				return runDoctor(cmd.Context(), cmd.OutOrStdout(), "text", checks(&f), f.sim)
			}
			d, err := daemon.Open(cfg)
			if err != nil {
				return err
			}
			return d.Run(cmd.Context())
		},
	}
	f.register(cmd.PersistentFlags())
	cmd.Flags().BoolVar(&check, "check", false, "do not start: look at the host and try an upgrade of the database on a copy, as doctor does")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return mistake{flagMistake(err)} })
	cmd.AddCommand(doctorCommand(&f), backupCommand(&f), verifyCommand(&f), &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
	})
	markMistakes(cmd)
	return cmd
}

func (f *flags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.config, "config", "", "config file (YAML); /etc/lodge/lodged.yaml is read when it exists")
	fs.StringVar(&f.dataDir, "data-dir", "", "where lodge keeps its database, disks and logs (default /var/lib/lodge; with --sim ~/.local/share/lodge-sim)")
	fs.StringVar(&f.listen, "listen", "", "TCP address for tenants, as :8443; without it there is only the socket")
	fs.BoolVar(&f.plainHTTP, "plain-http", false, "no TLS; on a loopback address only")
	fs.IntVar(&f.rateLimit, "rate-limit", 100, "requests a second of each user, token or unknown address over TCP; 0 for no limit")
	fs.IntVar(&f.rateBurst, "rate-burst", 200, "requests of each at once")
	fs.StringSliceVar(&f.origins, "cors-origin", nil, "web pages that may read answers over TCP, as https://ui.example; none by default")
	fs.StringSliceVar(&f.tlsHosts, "tls-hosts", nil, "names and addresses in lodged's own certificate (default this host's)")
	fs.StringVar(&f.tlsCert, "tls-cert", "", "certificate (PEM) in place of an own one, read again when it changes")
	fs.StringVar(&f.tlsKey, "tls-key", "", "its key (PEM)")
	fs.StringSliceVar(&f.acmeHosts, "acme-hosts", nil, "names to get a certificate for by ACME; using it agrees to the authority's terms")
	fs.StringVar(&f.acmeEmail, "acme-email", "", "address that the ACME authority may write to")
	fs.StringVar(&f.acmeDirectory, "acme-directory", "", "the ACME authority's directory (default Let's Encrypt)")
	fs.StringVar(&f.socket, "socket", "", "unix socket of the operator (default /run/lodge/lodge.sock; with --sim or an own --data-dir, lodge.sock in it)")
	fs.StringVar(&f.libvirtURI, "libvirt-uri", "qemu:///system", "libvirt connection")
	fs.StringVar(&f.accel, "accel", "auto", "auto, kvm or tcg; auto takes KVM where the CPU truly has it")
	fs.BoolVar(&f.sim, "sim", false, "run on a pretend host: no libvirt, no root, no guests")
	fs.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.IntVar(&f.workers, "workers", 4, "objects worked on side by side")
	fs.DurationVar(&f.sweep, "sweep", 30*time.Second, "how often everything is compared, at most 60s")
	fs.Float64Var(&f.vcpuRatio, "vcpu-overcommit", cloud.DefaultVCPURatio, "vCPUs that are promised for each CPU of the host")
	fs.Float64Var(&f.memoryRatio, "memory-overcommit", 1, "memory that is promised, as a multiple of what is not reserved")
	fs.StringVar(&f.reserved, "reserve-memory", "1GiB", "memory of the host that is not for guests; with --sim none")
	fs.StringVar(&f.maxImage, "max-image", "64GiB", "largest image file that is imported")
	fs.StringVar(&f.maxVirtual, "max-virtual", "2TiB", "largest virtual size an image may claim")
	fs.StringSliceVar(&f.importAllow, "import-allow", nil, "networks (CIDR) that import by URL may reach although they are not public")
	fs.StringSliceVar(&f.webhookAllow, "webhook-allow", nil, "networks (CIDR) in which webhooks may be although they are not public")
	fs.StringVar(&f.metricsListen, "metrics-listen", "", "loopback address, as 127.0.0.1:9177, where every process of this machine may read the metrics without a token")
	fs.BoolVar(&f.metricsOpen, "metrics-open", false, "let --metrics-listen be any address: whoever reaches it reads how much of everything there is, and no names of tenants or instances")
	fs.StringVar(&f.otlpEndpoint, "otlp-endpoint", "", "OpenTelemetry collector that gets traces by OTLP over HTTP, as http://127.0.0.1:4318 (default OTEL_EXPORTER_OTLP_ENDPOINT)")
	fs.StringVar(&f.networkPool, "network-pool", "10.77.0.0/16", "the tenants' default networks are cut out of this range")
	fs.StringVar(&f.invoice.Prefix, "invoice-prefix", "INV-", "what the numbers of invoices begin with")
	fs.StringVar(&f.invoice.Issuer, "invoice-issuer", "", "who invoices: name and address, lines separated by \\n")
	fs.StringVar(&f.invoice.TaxPercent, "invoice-tax", "", "percent of tax that is put on invoices; none by default")
	fs.BoolVar(&f.trustClock, "trust-clock", false, "follow a wall clock that is far ahead of lodge's time at once; for one start, when you know that it is right")
	fs.Var((*once)(&f.sink), "usage-sink", "URL that gets every closed hour of usage as CloudEvents")
	fs.StringVar(&f.sinkToken, "usage-sink-token-file", "", "file with the bearer token that it is shown, read again each time")
	fs.IntVar(&f.sinkBatch, "usage-sink-batch", 100, "events in one request; 1 for each by itself, in structured mode")
	f.oidc.register(fs)
	f.backup.register(fs)
}

// read takes the command line and what the config file adds to it.
func (f *flags) read(fs *pflag.FlagSet) error {
	if err := noEmptyFlag(fs); err != nil {
		return mistake{err}
	}
	return readConfig(f.config, fs)
}

// daemon checks the flags and turns them into a Config.
func (f *flags) daemon() (daemon.Config, error) {
	log, err := f.log()
	if err != nil {
		return daemon.Config{}, err
	}
	if err := f.paths(); err != nil {
		return daemon.Config{}, err
	}
	for flag, path := range map[string]string{"--tls-key": f.tlsKey, "--usage-sink-token-file": f.sinkToken, "--oidc-client-secret-file": f.oidc.secretFile,
		"--backup-s3-credentials": f.backup.credentials} {
		if err := daemon.CheckSecret(path); err != nil {
			return daemon.Config{}, fmt.Errorf("%s: %w", flag, err)
		}
	}
	switch f.accel {
	case "auto", "kvm", "tcg":
	default:
		return daemon.Config{}, fmt.Errorf("--accel %q: use auto, kvm or tcg", f.accel)
	}
	if f.workers < 1 || f.workers > 64 {
		return daemon.Config{}, fmt.Errorf("--workers %d: use 1 to 64", f.workers)
	}
	if f.sweep < time.Second || f.sweep > time.Minute {
		return daemon.Config{}, fmt.Errorf("--sweep %s: use 1s to 60s; metering rests on it", f.sweep)
	}
	if f.rateLimit < 0 || f.rateLimit > 1_000_000 || f.rateBurst < 1 || f.rateBurst > 1_000_000 {
		return daemon.Config{}, fmt.Errorf("--rate-limit %d, --rate-burst %d: use 1 to 1000000, or --rate-limit 0 for no limit", f.rateLimit, f.rateBurst)
	}
	for _, o := range f.origins {
		if err := api.CheckOrigin(o); err != nil {
			return daemon.Config{}, fmt.Errorf("--cors-origin %q: %w", o, err)
		}
	}
	cfg := daemon.Config{
		RateLimit: f.rateLimit, RateBurst: f.rateBurst, Origins: f.origins,
		DataDir: f.dataDir, Socket: f.socket, Sim: f.sim, LibvirtURI: f.libvirtURI, Accel: f.accel,
		Workers: f.workers, SweepEvery: f.sweep, Version: version, Commit: commit,
		Now: time.Now, Clocks: daemon.ReadClocks, NewID: uuid.NewString, Log: log, Out: os.Stdout, OutIsKept: journal(os.Stdout, os.Getenv("JOURNAL_STREAM")),
		TrustClock: f.trustClock,
		Listen:     f.listen, PlainHTTP: f.plainHTTP,
		MetricsListen: f.metricsListen, MetricsOpen: f.metricsOpen, OTLPEndpoint: f.otlpEndpoint,
		TLS: cert.Options{Hosts: f.tlsHosts, CertFile: f.tlsCert, KeyFile: f.tlsKey},
	}
	f.invoice.Issuer = strings.ReplaceAll(f.invoice.Issuer, `\n`, "\n")
	if err := cloud.ValidateTerms(f.invoice); err != nil {
		return daemon.Config{}, fmt.Errorf("--invoice-prefix, --invoice-issuer or --invoice-tax: %s", cloud.MessageOf(err))
	}
	if f.sinkBatch < 1 || f.sinkBatch > 10_000 {
		return daemon.Config{}, fmt.Errorf("--usage-sink-batch %d: use 1 to 10000", f.sinkBatch)
	}
	if f.sinkToken != "" && f.sink == "" {
		return daemon.Config{}, fmt.Errorf("--usage-sink-token-file goes with --usage-sink")
	}
	cfg.Invoices, cfg.Sink, cfg.SinkTokenFile, cfg.SinkBatch = f.invoice, f.sink, f.sinkToken, f.sinkBatch
	if len(f.acmeHosts) > 0 {
		cfg.TLS.ACME = &cert.ACMEOptions{Directory: f.acmeDirectory, Email: f.acmeEmail, Hosts: f.acmeHosts, CacheDir: filepath.Join(f.dataDir, "acme")}
	}
	if f.vcpuRatio < 0.1 || f.vcpuRatio > 1000 || f.memoryRatio < 0.1 || f.memoryRatio > 1000 {
		return daemon.Config{}, fmt.Errorf("--vcpu-overcommit %g, --memory-overcommit %g: use 0.1 to 1000", f.vcpuRatio, f.memoryRatio)
	}
	reserved, err := size("--reserve-memory", f.reserved)
	if err != nil {
		return daemon.Config{}, err
	}
	if f.sim {
		reserved = 0
	}
	cfg.VCPURatio, cfg.MemoryRatio, cfg.ReservedMiB = f.vcpuRatio, f.memoryRatio, int(reserved>>20)
	if cfg.Backups, err = f.backup.config(f.configFile()); err != nil {
		return daemon.Config{}, err
	}
	if cfg.OIDC, err = f.oidc.config(); err != nil {
		return daemon.Config{}, err
	}
	if cfg.MaxImageBytes, err = size("--max-image", f.maxImage); err != nil {
		return daemon.Config{}, err
	}
	if cfg.MaxVirtualBytes, err = size("--max-virtual", f.maxVirtual); err != nil {
		return daemon.Config{}, err
	}
	if cfg.NetworkPool, err = netip.ParsePrefix(f.networkPool); err != nil || !usablePool(cfg.NetworkPool) {
		return daemon.Config{}, fmt.Errorf("--network-pool %q: use a private IPv4 range of /24 or more, written from its first address, as 10.77.0.0/16", f.networkPool)
	}
	if cfg.ImportAllow, err = networks("--import-allow", f.importAllow); err != nil {
		return daemon.Config{}, err
	}
	cfg.WebhookAllow, err = networks("--webhook-allow", f.webhookAllow)
	return cfg, err
}

func networks(flag string, given []string) (out []netip.Prefix, err error) {
	for _, a := range given {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return nil, fmt.Errorf("%s %q: use CIDR, as 192.168.1.0/24", flag, a)
		}
		out = append(out, p)
	}
	return out, nil
}

// usablePool reports whether guests can have addresses of the range: private
// (RFC 1918) or shared (RFC 6598), so that nothing outside is hidden by it.
func usablePool(p netip.Prefix) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10")
	a := p.Addr()
	return a.Is4() && p.Bits() >= 8 && p.Bits() <= 24 && p == p.Masked() && (a.IsPrivate() || shared.Contains(a))
}

func size(flag, s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s %q: use a size, as 64GiB", flag, s)
	}
	return n, nil
}

func (f *flags) log() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", f.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return nil, fmt.Errorf("--log-format %q: use text or json", f.logFormat)
}

// paths fills in the places that were not given.
func (f *flags) paths() error {
	own := f.dataDir != ""
	if !own {
		f.dataDir = "/var/lib/lodge"
		if f.sim {
			home, err := os.UserHomeDir()
			if err != nil {
				return fmt.Errorf("--data-dir is needed: %w", err)
			}
			f.dataDir = filepath.Join(home, ".local", "share", "lodge-sim")
		}
	}
	abs, err := filepath.Abs(f.dataDir)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	f.dataDir = abs
	if f.socket == "" {
		f.socket = "/run/lodge/lodge.sock"
		if own || f.sim {
			f.socket = filepath.Join(f.dataDir, "lodge.sock")
		}
	}
	if len(f.socket) > 107 { // sun_path, unix(7)
		return fmt.Errorf("--socket: a unix socket's path has at most 107 characters, this has %d", len(f.socket))
	}
	return nil
}
