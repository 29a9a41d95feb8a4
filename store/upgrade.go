package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// copiesKept is how many copies from before upgrades stay.
const copiesKept = 3

// keepCopy copies a file that is about to be migrated, so that the lodge that
// wrote it can go on with the copy. It is named for the first migration that the
// copy lacks. An upgrade that a kill has ended half way goes on with the copy that
// it has: no lodge can go on with a level between.
func keepCopy(ctx context.Context, abs string) error {
	info, err := os.Stat(abs)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := firstMissing(ctx, abs)
	if err != nil || next == 0 {
		return err
	}
	from, err := begunAt(ctx, abs)
	if err != nil {
		return err
	}
	if from == migrations()[0].version {
		return nil // no lodge has worked with it yet
	}
	if _, err := os.Stat(copyName(abs, from)); from > 0 && err == nil {
		return nil
	}
	kept := copyName(abs, next)
	part := kept + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := Copy(ctx, abs, part); err != nil {
		return fmt.Errorf("keep a copy before the upgrade: %w", err)
	}
	if err := os.Rename(part, kept); err != nil {
		return fmt.Errorf("keep a copy before the upgrade: %w", err)
	}
	if err := syncFile(filepath.Dir(kept)); err != nil {
		return fmt.Errorf("keep a copy before the upgrade: %w", err)
	}
	return removeOldCopies(abs, kept)
}

// copyName is where the copy is that lacks the migration and those behind it.
func copyName(abs string, first int) string { return fmt.Sprintf("%s.before-%04d", abs, first) }

// removeOldCopies leaves the newest, the one that was just made among them. The
// number of a copy says nothing of its age: somebody may have gone back.
func removeOldCopies(abs, kept string) error {
	all, err := filepath.Glob(globbed(abs) + ".before-[0-9][0-9][0-9][0-9]")
	if err != nil {
		return err
	}
	type aged struct {
		path string
		at   time.Time
	}
	var others []aged
	for _, path := range all {
		info, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("look at an old copy: %w", err)
		}
		if path != kept {
			others = append(others, aged{path, info.ModTime()})
		}
	}
	slices.SortStableFunc(others, func(a, b aged) int { return b.at.Compare(a.at) })
	for i, o := range others {
		if i < copiesKept-1 {
			continue
		}
		if err := os.Remove(o.path); err != nil {
			return fmt.Errorf("remove an old copy: %w", err)
		}
	}
	return nil
}

// globbed takes the meaning of its special characters from a path.
func globbed(path string) string {
	var out []rune
	for _, c := range path {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return string(out)
}

// firstMissing is the first migration that a file lacks; 0 when it has all, or
// none because it is new.
func firstMissing(ctx context.Context, abs string) (int, error) {
	missing, err := Missing(ctx, abs)
	if err != nil || len(missing) == 0 || len(missing) == len(migrations()) {
		return 0, err
	}
	return missing[0].Version, nil
}

// Migration is one step of the schema.
type Migration struct {
	Version int
	Name    string
}

// Missing are the migrations that opening a file would run. The file is not
// changed. Returns an error for one that Open would refuse.
func Missing(ctx context.Context, path string) (out []Migration, err error) {
	s, err := examine(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := checkVersion(s.db, path); err != nil {
		return nil, err
	}
	r := s.reads(ctx)
	done := map[int]bool{}
	if ours, err := exists(r, `SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'`); err != nil {
		return nil, unreadable(path, err)
	} else if ours {
		versions, err := collect(r, func(rows *sql.Rows) (v int, err error) { return v, rows.Scan(&v) }, `SELECT version FROM schema_migrations`)
		if err != nil {
			return nil, unreadable(path, err)
		}
		for _, v := range versions {
			done[v] = true
		}
	}
	for _, m := range migrations() {
		if !done[m.version] {
			out = append(out, Migration{m.version, m.name})
		}
	}
	return out, nil
}

// Rehearse reads a file through, runs the migrations that it lacks on a copy of it
// in dir and checks what comes out. The file is not changed; the copy is removed.
// What is wrong with the file itself is returned without a migration.
func Rehearse(ctx context.Context, path, dir string) (ran []Migration, wrong []string, err error) {
	missing, err := Missing(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	if wrong, err = Check(ctx, path); err != nil || len(wrong) > 0 || len(missing) == 0 {
		return nil, wrong, err
	}
	ran = missing
	tmp, err := os.MkdirTemp(dir, ".lodge-rehearse-")
	if err != nil {
		return ran, nil, err
	}
	defer os.RemoveAll(tmp)
	trial := filepath.Join(tmp, "trial.db")
	if err := Copy(ctx, path, trial); err != nil {
		return ran, nil, err
	}
	d, err := openCopy(trial)
	if err != nil {
		return ran, nil, err
	}
	if err := d.Close(); err != nil {
		return ran, nil, err
	}
	wrong, err = Check(ctx, trial)
	return ran, wrong, err
}
