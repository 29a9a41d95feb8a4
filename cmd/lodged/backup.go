package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"lodge/backup"
	"lodge/cmd/lodged/daemon"
)

// backupTool is what the backup commands share.
type backupTool struct {
	f        *flags
	output   string
	identity string
}

func backupCommand(f *flags) *cobra.Command {
	b := &backupTool{f: f}
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Make, list, check and restore backups of lodge's own state",
		Long: "A backup has the database and the few files beside it that a fresh machine needs to go on; it has no disks of\n" +
			"guests. These commands take lodged's own flags and config file. All but restore work beside a running lodged.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVarP(&b.output, "output", "o", "text", "text or json")
	cmd.AddCommand(b.create(), b.list(), b.show(), b.verify(), b.delete(), b.restore(), b.report())
	speakPlainly(cmd.Commands())
	return cmd
}

// open reads the flags and opens the place.
func (b *backupTool) open(cmd *cobra.Command) (cfg daemon.Config, p backup.Place, err error) {
	if cfg, err = b.config(cmd); err != nil {
		return cfg, nil, err
	}
	p, err = cfg.OpenBackups()
	return cfg, p, err
}

func (b *backupTool) config(cmd *cobra.Command) (cfg daemon.Config, err error) {
	if b.output != "text" && b.output != "json" {
		return cfg, mistake{fmt.Errorf("-o %q: use text or json", b.output)}
	}
	if err := b.f.read(cmd.Flags()); err != nil {
		return cfg, err
	}
	return b.f.daemon()
}

func (b *backupTool) withIdentity(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&b.identity, "identity", "", "file with the identity of age that opens encrypted backups")
	return cmd
}

func (b *backupTool) keys() ([]age.Identity, error) {
	if b.identity == "" {
		return nil, nil
	}
	return backup.ReadIdentities(b.identity)
}

func (b *backupTool) print(w io.Writer, v any, text func(io.Writer)) error {
	if b.output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	text(t)
	return t.Flush()
}

func (b *backupTool) create() *cobra.Command {
	return &cobra.Command{
		Use: "create", Short: "Make a backup now", Example: "  lodged backup create --backup-to /srv/backups", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, p, err := b.open(cmd)
			if err != nil {
				return err
			}
			s, err := cfg.BackupSource()
			if err != nil {
				return err
			}
			// Without a schedule nobody else does it, and before it is when room may lack.
			sweepPlace(cmd, p, s.HostID, cfg.Now())
			m, err := backup.Make(cmd.Context(), p, s)
			if err != nil {
				return err
			}
			return b.print(cmd.OutOrStdout(), m, func(w io.Writer) { show(w, m) })
		},
	}
}

// sweepPlace removes what killed backups have left there. It is by the way: what
// cannot be removed is said, and is no reason to fail.
func sweepPlace(cmd *cobra.Command, p backup.Place, hostID string, now time.Time) {
	if _, err := p.Sweep(cmd.Context(), hostID, now); err != nil && cmd.Context().Err() == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "lodged: %s\n", sentence(plainly(fmt.Errorf("remove what killed backups have left: %w", err))))
	}
}

func (b *backupTool) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the backups, newest first", Example: "  lodged backup list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, p, err := b.open(cmd)
			if err != nil {
				return err
			}
			ids, err := p.List(cmd.Context())
			if err != nil {
				return err
			}
			all, broken := []backup.Manifest{}, 0
			for _, id := range ids {
				m, err := p.Manifest(cmd.Context(), id)
				if err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "lodged: %s\n", sentence(plainly(err)))
					broken++
					continue
				}
				all = append(all, m)
			}
			err = b.print(cmd.OutOrStdout(), all, func(w io.Writer) {
				fmt.Fprintln(w, "ID\tTAKEN\tHOST\tSIZE\tINSTANCES\tSCHEMA\tVERSION\tENCRYPTED")
				for _, m := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%t\n", m.ID, m.TakenAt.Format(time.RFC3339), m.HostID, units.BytesSize(float64(m.Archive.Size)), m.Instances, m.Schema, m.Version, m.Encrypted)
				}
			})
			if err == nil && broken > 0 {
				err = fmt.Errorf("%d backups cannot be read", broken)
			}
			return err
		},
	}
}

func (b *backupTool) show() *cobra.Command {
	return &cobra.Command{
		Use: "show BACKUP", Short: "Show what a backup has; latest is the newest of this host", Example: "  lodged backup show latest", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, p, err := b.open(cmd)
			if err != nil {
				return err
			}
			m, err := b.find(cmd, cfg, p, args[0])
			if err != nil {
				return err
			}
			return b.print(cmd.OutOrStdout(), m, func(w io.Writer) { show(w, m) })
		},
	}
}

func show(w io.Writer, m backup.Manifest) {
	fmt.Fprintf(w, "ID\t%s\nTaken\t%s\nHost\t%s\nVersion\t%s\nSchema\t%d\nInstances\t%d\nLedger\t%d:%s\nArchive\t%s, %s\nSHA-256\t%s\nEncrypted\t%t\n",
		m.ID, m.TakenAt.Format(time.RFC3339), m.HostID, m.Version, m.Schema, m.Instances, m.Links, m.Head,
		m.Archive.Name, units.BytesSize(float64(m.Archive.Size)), m.Archive.SHA256, m.Encrypted)
	for _, f := range m.Files {
		fmt.Fprintf(w, "File\t%s, %s\n", f.Name, units.BytesSize(float64(f.Size)))
	}
}

func (b *backupTool) verify() *cobra.Command {
	return b.withIdentity(&cobra.Command{
		Use: "verify BACKUP", Short: "Read a backup to its end and say what is wrong with it",
		Long: "verify reads all of a backup: hashes and sizes, SQLite's own checks, references between rows, and the usage ledger, which\n" +
			"is computed again. What is wrong is named, and the exit code is 1. Of an encrypted backup without --identity only\n" +
			"the bytes are compared.",
		Example: "  lodged backup verify latest", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, p, err := b.open(cmd)
			if err != nil {
				return err
			}
			keys, err := b.keys()
			if err != nil {
				return err
			}
			m, err := b.find(cmd, cfg, p, args[0])
			if err != nil {
				return err
			}
			wrong, sealed, err := backup.Verify(cmd.Context(), p, m, keys, workDir(cfg), daemon.JudgeDatabase)
			if err != nil {
				return err
			}
			out := struct {
				ID     string   `json:"id"`
				OK     bool     `json:"ok"`
				Sealed bool     `json:"sealed"`
				Wrong  []string `json:"wrong"`
			}{m.ID, len(wrong) == 0, sealed, append([]string{}, wrong...)}
			err = b.print(cmd.OutOrStdout(), out, func(w io.Writer) {
				switch {
				case len(wrong) > 0:
					for _, s := range wrong {
						fmt.Fprintln(w, s)
					}
				case sealed:
					fmt.Fprintf(w, "The bytes of %s are those that were kept. What is in them was not read: give --identity.\n", m.ID)
				default:
					fmt.Fprintf(w, "%s is whole: files, database, references and ledger.\n", m.ID)
				}
			})
			if err == nil && len(wrong) > 0 {
				err = fmt.Errorf("the backup %s is not whole: %d things are wrong", m.ID, len(wrong))
			}
			return err
		},
	})
}

func (b *backupTool) delete() *cobra.Command {
	return &cobra.Command{
		Use: "delete BACKUP", Aliases: []string{"rm"}, Short: "Delete a backup", Example: "  lodged backup delete 20261122T120000000Z-0b9a7c31", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, p, err := b.open(cmd)
			if err != nil {
				return err
			}
			if args[0] == "latest" {
				return fmt.Errorf("name the backup to delete by its id")
			}
			if err := p.Delete(cmd.Context(), args[0]); err != nil {
				return err
			}
			if hostID, err := cfg.HostID(); err == nil {
				sweepPlace(cmd, p, hostID, cfg.Now())
			}
			return b.print(cmd.OutOrStdout(), map[string]string{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "The backup %s is deleted.\n", args[0]) })
		},
	}
}

func (b *backupTool) restore() *cobra.Command {
	var replace bool
	var database string
	cmd := b.withIdentity(&cobra.Command{
		Use: "restore [BACKUP]", Short: "Put a backup into the data dir, while no lodged runs there; latest is the newest of this host",
		Long: "restore checks a backup, moves what the data dir has aside, and puts the backup in its place. At its next start lodged first\n" +
			"compares it with the host: guests that run are taken over as they are, nothing that the backup does not know is touched,\n" +
			"and `lodged backup report` says what was found. The backup of another host is taken only by its name, and the data dir is\n" +
			"that host's then.",
		Example: "  systemctl stop lodged\n  lodged backup restore latest --replace\n  systemctl start lodged\n  lodged backup report\n  lodged backup restore --replace --database /srv/from-litestream.db", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (database == "") == (len(args) == 0) {
				return mistake{fmt.Errorf("name a backup, or a --database")}
			}
			cfg, err := b.config(cmd)
			if err != nil {
				return err
			}
			if cfg.Sim {
				return fmt.Errorf("a pretend host forgets everything at its end, so there is nothing to restore to")
			}
			from := daemon.Origin{Database: database}
			if database == "" {
				if from, err = b.origin(cmd, cfg, args[0]); err != nil {
					return err
				}
			}
			r, err := daemon.Restore(cmd.Context(), cfg, from, replace)
			if err != nil {
				return err
			}
			m := r.Manifest
			if r.HostBefore != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "lodged: this data dir was that of host %s, and is that of host %s now, whose backup this is; if that host still runs elsewhere, stop one of them: each would remove the other's backups\n", r.HostBefore, m.HostID)
			}
			return b.print(cmd.OutOrStdout(), r, func(w io.Writer) {
				fmt.Fprintf(w, "Restored\t%s, %s, with %d instances\n", m.ID, howOld(r), m.Instances)
				if m.HostID != "" {
					fmt.Fprintf(w, "Host\t%s\n", m.HostID)
				}
				for _, f := range r.Files {
					fmt.Fprintf(w, "File\t%s\n", f)
				}
				if r.Aside != "" {
					fmt.Fprintf(w, "Before\tkept in %s\n", r.Aside)
				}
				fmt.Fprintln(w, "Lost\twhat was asked for, made, changed or invoiced since; tokens that were revoked since are good again")
				fmt.Fprintln(w, "Invoices\tnumbers that were given since are given again; set another invoice-prefix when there are such invoices")
				fmt.Fprintln(w, "Next\tstart lodged, then run `lodged backup report`")
			})
		},
	})
	cmd.Flags().StringVar(&database, "database", "", "a database file that something else has kept, as Litestream, in place of a backup")
	cmd.Flags().BoolVar(&replace, "replace", false, "move the database that is there aside")
	return cmd
}

func howOld(r daemon.Restored) string {
	if r.Age == "" {
		return "of " + r.Manifest.TakenAt.Format(time.RFC3339) + ", which is ahead of this machine's clock"
	}
	return r.Age + " old"
}

// find finds a backup; latest is the newest of the host whose data dir this is.
func (b *backupTool) find(cmd *cobra.Command, cfg daemon.Config, p backup.Place, name string) (backup.Manifest, error) {
	hostID, err := cfg.HostID()
	if err != nil {
		return backup.Manifest{}, err
	}
	return backup.Find(cmd.Context(), p, name, hostID)
}

// origin finds a backup in its place.
func (b *backupTool) origin(cmd *cobra.Command, cfg daemon.Config, name string) (from daemon.Origin, err error) {
	if from.Place, err = cfg.OpenBackups(); err != nil {
		return from, err
	}
	if from.Keys, err = b.keys(); err != nil {
		return from, err
	}
	from.Manifest, err = b.find(cmd, cfg, from.Place, name)
	return from, err
}

func (b *backupTool) report() *cobra.Command {
	return &cobra.Command{
		Use: "report", Short: "Say what the last restore found on the host, and what there is that lodge does not know",
		Example: "  lodged backup report", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := b.config(cmd)
			if err != nil {
				return err
			}
			a, err := daemon.ReadAftermath(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			h := askHolders(cmd.Context(), cfg, a.Orphans)
			return b.print(cmd.OutOrStdout(), aftermathJSON(a, h), func(w io.Writer) { writeAftermath(w, a, h) })
		},
	}
}
