package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"lodge/cloud"
)

// MarkRestored writes into a database that was taken from a backup that it was.
// From then on nothing is made until Adopt has compared it with its host.
func (d *DB) MarkRestored(ctx context.Context, now time.Time, backupID string, taken time.Time) error {
	return d.write(ctx, now, reconciler, "mark restored", func(t *tx) error {
		_, err := t.exec(`
			INSERT INTO restore (
			  backup_id,
			  taken_at,
			  restored_at
			) VALUES (?, ?, ?)`, backupID, stamp(taken), stamp(t.now))
		return err
	})
}

// Restored returns the last restore; false when there was none.
func (d *DB) Restored(ctx context.Context) (cloud.Restore, bool, error) {
	r, found, err := lastRestore(d.read(ctx))
	return r, found, fail("read the last restore", err)
}

// Unadopted reports whether the database was restored and not yet compared with
// its host.
func (d *DB) Unadopted(ctx context.Context) (bool, error) {
	r, found, err := lastRestore(d.read(ctx))
	return found && r.AdoptedAt.IsZero(), fail("read the last restore", err)
}

func lastRestore(s source) (r cloud.Restore, found bool, err error) {
	var taken, restored, adopted sql.NullInt64
	var report string
	err = s.row(`
		SELECT
		  id,
		  backup_id,
		  taken_at,
		  restored_at,
		  adopted_at,
		  report
		FROM restore
		ORDER BY id DESC
		LIMIT 1`).Scan(&r.ID, &r.BackupID, &taken, &restored, &adopted, &report)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	r.TakenAt, r.RestoredAt, r.AdoptedAt = moment(taken), moment(restored), moment(adopted)
	return r, true, json.Unmarshal([]byte(report), &r.Report)
}

// RecordBackup tells of a backup that was made, or, with a why, of one that was
// not.
func (d *DB) RecordBackup(ctx context.Context, hostID string, now time.Time, id, why string) error {
	return d.write(ctx, now, reconciler, "record backup", func(t *tx) error {
		typ, message := "host.backup", "The backup "+id+" was made."
		if why != "" {
			typ, message = "host.backup_failed", "No backup was made: "+why
		}
		return t.event("", cloud.Ref{Kind: cloud.KindHost, ID: hostID}, "", typ, message, nil)
	})
}

// refuseUnadopted keeps new things out of a restored database until it is known
// what is on the host: an address that seems to be free may be in use there.
func (t *tx) refuseUnadopted() error {
	waits, err := exists(t, `SELECT 1 FROM restore WHERE adopted_at IS NULL`)
	if err == nil && waits {
		err = cloud.Errorf(cloud.CodeUnavailable, "lodge was restored from a backup and has not yet looked at its host; try again in a minute.")
	}
	return err
}

// Adopt ends a restore: what the host shows is taken over, and what of it the
// backup does not know is written down.
func (d *DB) Adopt(ctx context.Context, hostID string, now time.Time, adoptions []cloud.Adoption, report cloud.RestoreReport, seen cloud.HostSight) error {
	err := d.write(ctx, now, reconciler, "adopt", func(t *tx) error {
		for _, a := range adoptions {
			if err := t.takeOver(a); err != nil {
				return err
			}
		}
		found, err := orphansIn(t, t.now, seen)
		if err != nil {
			return err
		}
		if err := t.keepOrphans(hostID, found); err != nil {
			return err
		}
		report.Orphans = len(found)
		if report.NoImage, err = lostImages(t, seen); err != nil {
			return err
		}
		if err := t.recordImageFiles(hostID, seen.Disks); err != nil {
			return err
		}
		text, err := json.Marshal(report)
		if err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE restore SET adopted_at = ?, report = ? WHERE adopted_at IS NULL`, stamp(t.now), string(text)); err != nil {
			return err
		}
		t.wished = true
		return t.event("", cloud.Ref{Kind: cloud.KindHost, ID: hostID}, "", "host.restored",
			fmt.Sprintf("The restored database was compared with the host: %d instances run on, %d were started and %d stopped since the backup, %d have no guest, %d have no disk; %d images are not there, %d things are unknown.",
				len(report.Running), len(report.Started), len(report.Stopped), len(report.Missing), len(report.NoDisk), len(report.NoImage), report.Orphans), nil)
	})
	return err
}

// lostImages returns the images that were imported and are not on the host.
func lostImages(s source, seen cloud.HostSight) ([]string, error) {
	all, err := collect(s, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) },
		`SELECT id FROM image WHERE state = 'active' AND deleted_at IS NULL ORDER BY id`)
	return slices.DeleteFunc(all, func(id string) bool {
		_, there := seen.Disks[cloud.DiskKey{Kind: cloud.DiskImage, ID: id}]
		return there
	}), err
}

// takeOver makes the power that was seen the wish, as if its owner had asked for it
// again; who had stopped it in the backup does not hold it any more.
func (t *tx) takeOver(a cloud.Adoption) error {
	k, err := t.instance(a.InstanceID)
	if err != nil {
		return ignoreNotFound(err)
	}
	if a.Rebooted {
		if _, err := t.exec(`UPDATE instance SET observed_boots = boots, revision = revision + 1 WHERE id = ?`, a.InstanceID); err != nil {
			return err
		}
	}
	if a.Power == "" {
		return nil
	}
	_, err = t.exec(`
		UPDATE instance
		SET power = ?,
		    power_force = 0,
		    power_at = ?,
		    wished_at = ?,
		    stopped_by = '',
		    stopped_by_id = '',
		    generation = generation + 1,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`, string(a.Power), stamp(t.now), stamp(t.now), stamp(t.now), a.InstanceID)
	if err != nil {
		return err
	}
	return t.event(k.instance.TenantID, cloud.Ref{Kind: cloud.KindInstance, ID: a.InstanceID}, k.instance.Name, "instance.adopted",
		"The instance "+k.instance.Name+" is wanted "+string(a.Power)+", as it was found after lodge was restored from a backup.", nil)
}
