package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lodge/backup"
	"lodge/cmd/lodged/daemon"
	"lodge/store"
)

type databaseFacts struct {
	path   string
	absent bool
	lost   error // why a start would be refused without a look into it
	size   int64
	ran    []store.Migration // by a start of this lodged, tried on a copy
	wrong  []string          // what the copy then had; without a migration the file itself
	err    error
}

// probeDatabase reads the database through and tries the migrations of a start on a copy.
func probeDatabase(ctx context.Context, dir string) databaseFacts {
	d := databaseFacts{path: filepath.Join(dir, "lodge.db"), lost: daemon.Refusal(dir)}
	if d.lost != nil {
		return d
	}
	if d.absent = store.Blank(d.path); d.absent {
		return d
	}
	info, err := os.Stat(d.path)
	if d.err = err; err != nil {
		return d
	}
	d.size = info.Size()
	work, done := rehearsalRoom(dir, time.Now())
	defer done()
	d.ran, d.wrong, d.err = store.Rehearse(ctx, d.path, work)
	return d
}

// rehearsalRoom is where a copy is tried: a folder that is known for a dead one when
// the process is killed. Where none can be made, it is dir itself, and whoever
// writes there says why he cannot. What an older lodged has left, which had none,
// is removed when nobody can be at it any more.
func rehearsalRoom(dir string, now time.Time) (work string, done func()) {
	entries, _ := os.ReadDir(dir) // the same error comes again
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && strings.HasPrefix(e.Name(), ".lodge-rehearse-") && now.Sub(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // it takes room and harms nothing
		}
	}
	work, end, err := backup.Scratch(dir)
	if err != nil {
		return dir, func() {}
	}
	return work, func() { _ = end() }
}

func judgeDatabase(d databaseFacts) finding {
	names := make([]string, len(d.ran))
	for i, m := range d.ran {
		names[i] = m.Name
	}
	switch {
	case d.lost != nil:
		return fail(sentence(d.lost), "lodged does not start on it. Nothing was changed.")
	case d.absent:
		return ok("There is no database yet; the first start makes %s.", d.path)
	case errors.Is(d.err, fs.ErrPermission):
		return unseen("The database " + d.path)
	case d.err != nil && len(names) > 0:
		return fail(fmt.Sprintf("The upgrade of a copy of the database failed: %s", sentence(d.err)), "Stay with the lodged that you have; the database is as it was. Free some space, or report this.")
	case d.err != nil:
		return fail(sentence(d.err), "Nothing was changed. When the data dir or its space fails too, mend that first; `lodged backup restore` brings a backup back.")
	case len(d.wrong) > 0 && len(names) == 0:
		return fail(fmt.Sprintf("The database %s is damaged: %s.", d.path, d.wrong[0]), "Nothing was changed. Restore a backup: `lodged backup restore latest --replace`, with lodged stopped; guests run on.")
	case len(d.wrong) > 0:
		return fail(fmt.Sprintf("A copy of the database has faults after its upgrade: %s.", d.wrong[0]), "Stay with the lodged that you have; the database is as it was. Report this.")
	case len(names) == 0:
		return ok("The database %s is up to date (%s).", d.path, iec(d.size))
	}
	return ok("This lodged upgrades the database (%s) by %s when it starts; a copy passed, and the start keeps one.", iec(d.size), strings.Join(names, ", "))
}
