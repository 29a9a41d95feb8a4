package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

// scheduler is lodge itself when a schedule acts.
var scheduler = cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "schedule"}

const scheduleQuery = `
		SELECT
		  id,
		  tenant_id,
		  name,
		  selector,
		  start_cron,
		  stop_cron,
		  zone,
		  enabled,
		  applied,
		  applied_at,
		  checked_at,
		  created_at,
		  updated_at,
		  deleted_at,
		  revision,
		  (SELECT COUNT(*) FROM instance i WHERE i.stopped_by_id = schedule.id AND i.stopped_by_id <> '' AND i.deleted_at IS NULL)
		FROM schedule `

func scanSchedule(rows *sql.Rows) (s cloud.Schedule, err error) {
	var applied, checked, created, updated, deleted sql.NullInt64
	err = rows.Scan(
		&s.ID,
		&s.TenantID,
		&s.Name,
		&s.Selector,
		&s.Start,
		&s.Stop,
		&s.Zone,
		&s.Enabled,
		&s.Applied,
		&applied,
		&checked,
		&created,
		&updated,
		&deleted,
		&s.Revision,
		&s.Holds,
	)
	s.AppliedAt, s.CheckedAt, s.CreatedAt, s.UpdatedAt, s.DeletedAt = moment(applied), moment(checked), moment(created), moment(updated), moment(deleted)
	return s, err
}

func schedules(s source, condition string, args ...any) ([]cloud.Schedule, error) {
	return collect(s, scanSchedule, scheduleQuery+condition, args...)
}

func schedule(s source, c cloud.Caller, id string) (cloud.Schedule, error) {
	found, err := schedules(s, `WHERE id = ?`, id)
	if err == nil && (len(found) == 0 || !c.Sees(found[0].TenantID)) {
		err = cloud.Errorf(cloud.CodeNotFound, "There is no schedule %q; list the schedules to see them.", id)
	}
	if err != nil {
		return cloud.Schedule{}, err
	}
	return found[0], nil
}

// Schedules lists the schedules of the tenant, "" of all that the caller may see.
// Returns CodeNotFound for a tenant that it may not see.
func (d *DB) Schedules(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Schedule, error) {
	tenantID, err := scope(c, tenantID)
	if err != nil {
		return nil, err
	}
	var w where
	w.equal("tenant_id", tenantID)
	all, err := schedules(d.read(ctx), w.String()+` ORDER BY created_at, id`, w.args...)
	return all, fail("list schedules", err)
}

// Schedule returns one schedule. Returns CodeNotFound when there is none that the
// caller may see.
func (d *DB) Schedule(ctx context.Context, c cloud.Caller, id string) (cloud.Schedule, error) {
	s, err := schedule(d.read(ctx), c, id)
	return s, fail("read schedule", err)
}

// CreateSchedule makes a schedule; its first time is the next one. Returns
// CodeInvalid, CodeNotFound for a tenant that the caller may not see,
// CodeNameTaken, CodeConflict when there are too many.
func (d *DB) CreateSchedule(ctx context.Context, c cloud.Caller, now time.Time, s cloud.Schedule) (cloud.Schedule, error) {
	if !c.Sees(s.TenantID) {
		return s, noTenant(s.TenantID)
	}
	s, err := s.Checked()
	if err != nil {
		return s, err
	}
	err = d.write(ctx, now, c, "schedule.create", func(t *tx) (err error) {
		if _, err := liveTenant(t, s.TenantID); err != nil {
			return err
		}
		if err := t.refuseScheduleName(s); err != nil {
			return err
		}
		var there int
		if err := t.row(`SELECT COUNT(*) FROM schedule WHERE tenant_id = ?`, s.TenantID).Scan(&there); err != nil {
			return err
		}
		if there >= cloud.MaxSchedules {
			return cloud.Errorf(cloud.CodeConflict, "A tenant has at most %d schedules; delete one that is not needed.", cloud.MaxSchedules)
		}
		_, err = t.exec(`
			INSERT INTO schedule (id, tenant_id, name, selector, start_cron, stop_cron, zone, enabled, checked_at, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			s.ID, s.TenantID, s.Name, s.Selector, s.Start, s.Stop, s.Zone, s.Enabled, stamp(t.now), stamp(t.now), stamp(t.now))
		if err != nil {
			return err
		}
		s, err = schedule(t, c, s.ID)
		t.answer = s
		if err != nil {
			return err
		}
		return t.scheduleEvent(s, "schedule.created", "The schedule "+s.Name+" was made.")
	})
	return s, err
}

func (t *tx) refuseScheduleName(s cloud.Schedule) error {
	taken, err := exists(t, `SELECT 1 FROM schedule WHERE tenant_id = ? AND name = ? AND id <> ?`, s.TenantID, s.Name, s.ID)
	if err == nil && taken {
		err = cloud.Errorf(cloud.CodeNameTaken, "There is a schedule named %q already; choose another name.", s.Name)
	}
	return err
}

func (t *tx) scheduleEvent(s cloud.Schedule, typ, message string) error {
	return t.event(s.TenantID, cloud.Ref{Kind: cloud.KindSchedule, ID: s.ID}, s.Name, typ, message, nil)
}

// UpdateSchedule changes a schedule. Its next time is one after the change; one
// that is switched off starts what it has stopped, the rest of many with
// ReleaseSchedule. check looks at the times.
//
// Returns CodeNotFound, CodeInvalid, CodeNameTaken, CodePrecondition, CodeConflict
// for one that is being deleted.
func (d *DB) UpdateSchedule(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.ScheduleChange, check func(cloud.Schedule) error) (s cloud.Schedule, err error) {
	err = d.write(ctx, now, c, "schedule.update", func(t *tx) (err error) {
		if s, err = schedule(t, c, id); err != nil {
			return err
		}
		if err := c.Expects(s.Tag()); err != nil {
			return err
		}
		if !s.DeletedAt.IsZero() {
			return cloud.Errorf(cloud.CodeConflict, "The schedule %s is being deleted and takes no more changes.", s.Name)
		}
		was := s
		for _, f := range []struct{ to, with *string }{{&s.Name, ch.Name}, {&s.Selector, ch.Selector}, {&s.Start, ch.Start}, {&s.Stop, ch.Stop}, {&s.Zone, ch.Zone}} {
			if f.with != nil {
				*f.to = *f.with
			}
		}
		if ch.Enabled != nil {
			s.Enabled = *ch.Enabled
		}
		if s, err = s.Checked(); err != nil {
			return err
		}
		if err := check(s); err != nil {
			return err
		}
		if s == was {
			t.answer = s
			return nil
		}
		if err := t.refuseScheduleName(s); err != nil {
			return err
		}
		_, err = t.exec(`
			UPDATE schedule
			SET name = ?,
			    selector = ?,
			    start_cron = ?,
			    stop_cron = ?,
			    zone = ?,
			    enabled = ?,
			    applied = CASE WHEN ? THEN applied ELSE '' END,
			    checked_at = ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`, s.Name, s.Selector, s.Start, s.Stop, s.Zone, s.Enabled, s.Enabled, stamp(t.now), stamp(t.now), id)
		if err != nil {
			return err
		}
		if s, err = schedule(t, c, id); err != nil {
			return err
		}
		t.answer = s
		if !s.Enabled {
			if _, err := t.release(cloud.Ref{Kind: cloud.KindSchedule, ID: id}, s.TenantID); err != nil {
				return err
			}
			if s, err = schedule(t, c, id); err != nil {
				return err
			}
			t.answer = s
		}
		return t.scheduleEvent(s, "schedule.updated", "The schedule "+s.Name+" was changed.")
	})
	return s, err
}

// ApplySchedule does what a schedule's time at says, unless that or a later one
// was done already or the schedule has changed. more is true when there were too
// many instances to stop for one transaction; call again then. What is left to be
// started is ReleaseSchedule's.
func (d *DB) ApplySchedule(ctx context.Context, now time.Time, s cloud.Schedule, do cloud.ScheduleDo, at time.Time) (more bool, err error) {
	err = d.write(ctx, now, scheduler, "schedule."+string(do), func(t *tx) error {
		is, err := schedule(t, scheduler, s.ID)
		if cloud.CodeOf(err) == cloud.CodeNotFound {
			return nil
		}
		if err != nil || is.Revision != s.Revision || !is.Enabled || !at.After(is.CheckedAt) {
			return err
		}
		ref := cloud.Ref{Kind: cloud.KindSchedule, ID: s.ID}
		if do == cloud.ScheduleStop {
			if more, err = t.hold(ref, is.TenantID, is.Selects, "schedule "+is.Name); err != nil || more {
				return err
			}
		}
		if _, err := t.exec(`UPDATE schedule SET applied = ?, applied_at = ?, checked_at = ? WHERE id = ?`, string(do), stamp(at), stamp(at), s.ID); err != nil {
			return err
		}
		if do == cloud.ScheduleStart {
			if _, err := t.release(ref, is.TenantID); err != nil {
				return err
			}
		}
		return t.scheduleEvent(is, "schedule."+string(do), "The schedule "+is.Name+" said "+string(do)+", for "+at.UTC().Format(time.RFC3339)+".")
	})
	return more, err
}

// Rests gives the times since from in which a schedule had instances stopped.
func (d *DB) Rests(ctx context.Context, scheduleID string, from time.Time) ([]cloud.Rest, error) {
	out, err := collect(d.read(ctx), func(rows *sql.Rows) (r cloud.Rest, err error) {
		var labels string
		var from, until sql.NullInt64
		if err = rows.Scan(&r.InstanceID, &r.TenantID, &r.Name, &r.Flavor, &labels, &r.VCPUs, &r.MemoryMiB, &from, &until); err != nil {
			return r, err
		}
		r.From, r.Until = moment(from), moment(until)
		r.Labels, err = fromJSON[map[string]string](labels)
		return r, err
	}, `
		SELECT
		  i.id,
		  i.tenant_id,
		  i.name,
		  i.flavor_id,
		  i.labels,
		  i.vcpus,
		  i.memory_mib,
		  r.from_at,
		  r.until_at
		FROM schedule_rest r
		JOIN instance i ON i.id = r.instance_id
		WHERE r.schedule_id = ?
		  AND (r.until_at IS NULL OR r.until_at > ?)
		ORDER BY r.seq`, scheduleID, stamp(from))
	return out, fail("read rests of a schedule", err)
}
