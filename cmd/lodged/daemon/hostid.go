package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lodge/cloud"
	"lodge/store"
)

// hosts is what the database knows of hosts.
type hosts interface {
	Hosts(ctx context.Context, c cloud.Caller) ([]cloud.Host, error)
}

// hostID is this host's id: the one in its file, or the database's only one when
// the file is lost, or a new one at the first start.
func hostID(ctx context.Context, cfg Config, db hosts) (string, error) {
	path := cfg.path("host-id")
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("host id: %w", err)
	}
	known, err := db.Hosts(ctx, cloud.Caller{Operator: true, Via: "start"})
	if err != nil {
		return "", fmt.Errorf("host id: %w", err)
	}
	if len(known) == 0 && !cfg.Sim && hasDisks(cfg) {
		return "", fmt.Errorf("the database %s knows no host, but %s has disks: its newest part is lost; restore it from a backup, or move the disks away to start anew", cfg.path("lodge.db"), cfg.path("disks"))
	}
	id, fresh, err := chooseHostID(strings.TrimSpace(string(b)), known, cfg.NewID)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if !fresh {
		return id, nil
	}
	if len(known) > 0 {
		cfg.Log.Warn("the host id was lost and is taken from the database", "path", path, "id", id)
	}
	return id, writeWhole(path, id+"\n")
}

// HostID is the id that the data dir has of this host; "" when it has none, as on a
// fresh machine. A restore that was killed may have moved it aside, and run again
// it is still of the same host.
func (c Config) HostID() (string, error) {
	path := c.path("host-id")
	b, err := os.ReadFile(path)
	if aside, _ := filepath.Glob(globbed(c.DataDir) + "/replaced-*/host-id"); errors.Is(err, fs.ErrNotExist) && len(aside) > 0 && there(c.path(restoring)) {
		b, err = os.ReadFile(aside[len(aside)-1]) // they are named by their time
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("host id: %w", err)
	}
	if id := strings.ToLower(strings.TrimSpace(string(b))); cloud.IsUUID(id) {
		return id, nil
	}
	return "", nil
}

// globbed takes the meaning of its special characters from a path.
func globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// chooseHostID decides by what the file says and what the database knows. fresh
// says that the file does not have the id yet. An id that the database does not
// know, though it knows another, would leave every instance without its host:
// nobody would look after them, and their meters would run on.
func chooseHostID(file string, known []cloud.Host, newID func() string) (id string, fresh bool, err error) {
	file = strings.ToLower(file)
	if cloud.IsUUID(file) {
		for _, h := range known {
			if h.ID == file {
				return file, false, nil
			}
		}
		if len(known) == 0 {
			return file, false, nil
		}
		return "", false, fmt.Errorf("the id %s is not that of a host in the database; remove the file and lodged takes the id from the database", file)
	}
	switch len(known) {
	case 0:
		return newID(), true, nil
	case 1:
		return known[0].ID, true, nil
	}
	return "", false, fmt.Errorf("there is no host id in the file and the database has %d hosts; write the id of this one into it", len(known))
}

// writeWhole writes a small file so that it is there whole or not at all, also
// after a power cut.
func writeWhole(path, text string) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// refuseLostDatabase tells a first start from one whose database is gone: guests
// would go on without an owner and without a meter.
func refuseLostDatabase(cfg Config) error {
	if cfg.Sim {
		return nil
	}
	path := cfg.path("lodge.db")
	// SQLite throws away the log of a database without a page.
	wal, logErr := os.Stat(path + "-wal")
	info, err := os.Stat(path)
	if logErr == nil && wal.Size() > 0 && (errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0) {
		return fmt.Errorf("the database %s is missing or empty, but its log %s-wal is not; restore the database from a backup, or move the log away to start anew", path, path)
	}
	if !store.Blank(path) {
		return nil // the store says what is wrong with it, if anything
	}
	if !hasDisks(cfg) {
		return refuseKnownHost(cfg, path)
	}
	return fmt.Errorf("the database %s is missing or empty, but %s has disks; restore the database from a backup, or move the disks away to start anew", path, cfg.path("disks"))
}

func hasDisks(cfg Config) bool {
	left, _ := filepath.Glob(cfg.path("disks", "*")) // the pattern is whole
	return len(left) > 0
}

// Refusal is why a start on these files would be refused before the database is
// opened: a restore that did not end, or a database that is gone. nil: it would not.
func Refusal(dataDir string) error {
	cfg := Config{DataDir: dataDir}
	return errors.Join(refuseHalfRestore(cfg), refuseLostDatabase(cfg))
}

// refuseKnownHost tells a first start from one of a host that had a database. The id
// of a host is written behind its database; a pretend host has its own.
func refuseKnownHost(cfg Config, path string) error {
	for _, trace := range []string{"host-id", "sim.db"} {
		if _, err := os.Stat(cfg.path(trace)); (err == nil) != (trace == "host-id") {
			return nil
		}
	}
	return fmt.Errorf("the database %s is missing or empty, but this host has had one, for there is %s; restore the database from a backup, or remove that file to start anew", path, cfg.path("host-id"))
}
