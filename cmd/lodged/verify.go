package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"lodge/cloud"
	"lodge/cmd/lodged/daemon"
	"lodge/meter"
	"lodge/store"
)

// verifyCommand verifies a ledger without a lodged: of a host that is stopped, or of
// a backup.
func verifyCommand(f *flags) *cobra.Command {
	var file, head string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify the usage ledger of a database whose lodged is stopped, or of a backup",
		Long: "verify computes the ledger of a file again, as `lodge usage verify` asks a running lodged to, and changes nothing: it works on\n" +
			"a copy in the directory for temporary files. The exit code is 1 when anything differs.",
		Example: "  sudo lodged verify\n  lodged verify --file /backup/lodge.db --head 1803:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(f.read(cmd.Flags()), f.paths()); err != nil {
				return err
			}
			if file == "" {
				file = filepath.Join(f.dataDir, "lodge.db")
			}
			return verifyFile(cmd.Context(), cmd.OutOrStdout(), file, head)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the database (default lodge.db in --data-dir)")
	cmd.Flags().StringVar(&head, "head", "", "a head that was kept elsewhere, NUMBER:SHA256")
	return cmd
}

func verifyFile(ctx context.Context, w io.Writer, file, head string) (err error) {
	var heads []cloud.UsageSeal
	if head != "" {
		h, err := cloud.ParseSeal(head)
		if err != nil {
			return mistake{errors.New(cloud.MessageOf(err))}
		}
		heads = append(heads, h)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		return fmt.Errorf("the database %s is missing or empty", file)
	}
	if running(filepath.Dir(file)) {
		return fmt.Errorf("lodged is running on %s; ask it with lodge usage verify, or name a backup with --file", file)
	}
	dir, err := os.MkdirTemp("", "lodged-verify-")
	if err != nil {
		return fmt.Errorf("make a directory for the copy: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, "lodge.db")
	for _, tail := range []string{"", "-wal", "-journal"} { // what is committed may be in the second one still
		if err := copyFile(copied+tail, file+tail); err != nil && (tail == "" || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("copy the database: %w", err)
		}
	}
	db, err := store.Open(copied)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tick, err := daemon.ReadClocks() // behind the copy: nothing in it is later
	if err != nil {
		return err
	}
	var report meter.Report
	err = db.ReadLedger(ctx, func(l cloud.Ledger) (err error) {
		report, err = meter.VerifyOn(tick, l, heads...)
		return err
	})
	if err != nil {
		return err
	}
	for _, found := range report.Findings {
		fmt.Fprintf(w, "%s %s %d: %s\n", found.Check, found.Table, found.Row, found.Message)
	}
	fmt.Fprintf(w, "%d intervals, %d hours, %d links, %d invoices, %d hours pending; head %d:%x\n",
		report.Intervals, report.Hours, report.Links, report.Invoices, report.Pending, report.Head.N, report.Head.Hash)
	if report.Wrong > 0 {
		return fmt.Errorf("the ledger differs from what it should be in %d places", report.Wrong)
	}
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// running reports whether a lodged has taken a data dir.
func running(dir string) bool { return taken(dir) || taken(filepath.Join(dir, "lodged.lock")) }

func taken(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // which lets go of the lock too
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
