package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

const hostQuery = `
		SELECT
		  id,
		  name,
		  vcpus,
		  memory_mib,
		  accel,
		  version,
		  hypervisor,
		  labels,
		  created_at,
		  updated_at,
		  revision,
		  started_at,
		  problem_code,
		  problem_message,
		  problem_since,
		  problem_retry_at,
		  problem_attempts,
		  heartbeat_at,
		  vcpu_ratio,
		  memory_ratio,
		  reserved_mib,
		  COALESCE((SELECT u.instances FROM host_use u WHERE u.host_id = host.id), 0),
		  COALESCE((SELECT u.vcpus FROM host_use u WHERE u.host_id = host.id), 0),
		  COALESCE((SELECT u.memory_mib FROM host_use u WHERE u.host_id = host.id), 0)
		FROM host`

func scanHost(rows *sql.Rows) (h cloud.Host, err error) {
	var meta metaColumns
	var started, heartbeat sql.NullInt64
	var p problemColumns
	err = rows.Scan(
		&h.ID,
		&h.Name,
		&h.VCPUs,
		&h.MemoryMiB,
		&h.Accel,
		&h.Version,
		&h.Hypervisor,
		&meta.labels,
		&meta.createdAt,
		&meta.updated,
		&h.Revision,
		&started,
		&p.code,
		&p.message,
		&p.since,
		&p.retryAt,
		&p.attempts,
		&heartbeat,
		&h.VCPURatio,
		&h.MemoryRatio,
		&h.ReservedMiB,
		&h.Used.Instances,
		&h.Used.VCPUs,
		&h.Used.MemoryMiB,
	)
	if err != nil {
		return h, err
	}
	h.StartedAt, h.HeartbeatAt, h.Problem = moment(started), moment(heartbeat), p.problem()
	return h, meta.into(&h.Meta)
}

func noHost(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no host %q.", id)
}

func hosts(s source) ([]cloud.Host, error) {
	return collect(s, scanHost, hostQuery+`
		ORDER BY created_at, id`)
}

func host(s source, id string) (cloud.Host, error) {
	h, found, err := one(s, scanHost, hostQuery+`
		WHERE id = ?`, id)
	if err == nil && !found {
		err = noHost(id)
	}
	return h, err
}

// onlyHost is the host's id while there is just one; "" otherwise.
func (t *tx) onlyHost() (string, error) {
	all, err := hosts(t)
	if err != nil || len(all) != 1 {
		return "", err
	}
	return all[0].ID, nil
}

// RegisterHost writes down a host at the start of its lodged: a new one, or what
// is new about a known one. Its problem and heartbeat stay as they are. It
// adopts networks and images that were made before there was any host.
func (d *DB) RegisterHost(ctx context.Context, now time.Time, h cloud.Host) error {
	return d.write(ctx, now, reconciler, "register host", func(t *tx) error {
		if err := t.upsertHost(h); err != nil {
			return err
		}
		for _, table := range []string{"network", "image"} {
			_, err := t.exec(`
				UPDATE `+table+`
				SET host_id = ?,
				    updated_at = ?,
				    revision = revision + 1
				WHERE host_id IS NULL
				  AND gone_at IS NULL`, h.ID, stamp(t.now))
			if err != nil {
				return err
			}
		}
		return t.event("", cloud.Ref{Kind: cloud.KindHost, ID: h.ID}, h.Name, "host.started",
			"lodged "+h.Version+" started on the host "+h.Name+".", nil)
	})
}

func (t *tx) upsertHost(h cloud.Host) error {
	_, err := t.exec(`
		INSERT INTO host (
		  id,
		  name,
		  vcpus,
		  memory_mib,
		  accel,
		  version,
		  hypervisor,
		  labels,
		  created_at,
		  updated_at,
		  started_at,
		  vcpu_ratio,
		  memory_ratio,
		  reserved_mib
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE
		SET name = excluded.name,
		    vcpus = excluded.vcpus,
		    memory_mib = excluded.memory_mib,
		    accel = excluded.accel,
		    version = excluded.version,
		    hypervisor = excluded.hypervisor,
		    updated_at = excluded.updated_at,
		    started_at = excluded.started_at,
		    vcpu_ratio = excluded.vcpu_ratio,
		    memory_ratio = excluded.memory_ratio,
		    reserved_mib = excluded.reserved_mib,
		    revision = host.revision + 1`,
		h.ID,
		h.Name,
		h.VCPUs,
		h.MemoryMiB,
		h.Accel,
		h.Version,
		h.Hypervisor,
		asJSON(h.Labels),
		stamp(t.now),
		stamp(t.now),
		stamp(h.StartedAt),
		or(h.VCPURatio, cloud.DefaultVCPURatio),
		or(h.MemoryRatio, 1),
		h.ReservedMiB,
	)
	return err
}

// Hosts lists the hosts. Returns CodeForbidden for anybody but an operator.
func (d *DB) Hosts(ctx context.Context, c cloud.Caller) ([]cloud.Host, error) {
	if !c.Operator {
		return nil, cloud.Errorf(cloud.CodeForbidden, "Only an operator sees the hosts.")
	}
	all, err := hosts(d.read(ctx))
	return all, fail("list hosts", err)
}

// Host returns one host. Returns CodeNotFound when there is none with the id.
func (d *DB) Host(ctx context.Context, id string) (cloud.Host, error) {
	h, err := host(d.read(ctx), id)
	return h, fail("read host", err)
}

// Heartbeat records that the guests of the host were looked at. It is no change
// of the host: the revision stays.
func (d *DB) Heartbeat(ctx context.Context, hostID string, at time.Time) error {
	return d.Beat(ctx, hostID, at, cloud.ClockAnchor{})
}

// Beat is Heartbeat with what the ledger's time is tied to then.
func (d *DB) Beat(ctx context.Context, hostID string, at time.Time, clock cloud.ClockAnchor) error {
	return d.write(ctx, at, reconciler, "heartbeat", func(t *tx) error {
		n, err := t.exec(`
			UPDATE host
			SET heartbeat_at = ?
			WHERE id = ?`, stamp(t.now), hostID)
		switch {
		case err != nil:
			return err
		case n == 0:
			return noHost(hostID)
		case clock.BootID == "":
			return nil
		}
		return t.keepClock(hostID, clock)
	})
}

// RecordHostProblem shows a problem on the host and on each of its instances
// that has none of its own; nil clears it on the host and on the instances that
// had it from the host. A clock that is in doubt is the host's alone: its guests
// run. A record that changes nothing writes nothing. The event is the host's alone.
func (d *DB) RecordHostProblem(ctx context.Context, hostID string, now time.Time, p *cloud.Problem) error {
	ofHost := p == nil || p.Code == cloud.CodeClockStepped
	if h, err := host(d.read(ctx), hostID); err == nil && ofHost && sameProblem(h.Problem, p) {
		return nil
	}
	return d.write(ctx, now, reconciler, "record host problem", func(t *tx) error {
		h, err := host(t, hostID)
		if err != nil {
			return err
		}
		cols := columnsOf(p, h.Problem, t.now)
		if !sameProblem(h.Problem, p) {
			if err := t.setHostProblem(hostID, cols); err != nil {
				return err
			}
			if err := t.problemEvent("", cloud.Ref{Kind: cloud.KindHost, ID: hostID}, h.Name, h.Problem, p); err != nil {
				return err
			}
		}
		if ofHost {
			return t.clearHostProblem(hostID)
		}
		return t.passHostProblem(hostID, cols)
	})
}

func (t *tx) setHostProblem(hostID string, p problemColumns) error {
	_, err := t.exec(`
		UPDATE host
		SET problem_code = ?,
		    problem_message = ?,
		    problem_since = ?,
		    problem_retry_at = ?,
		    problem_attempts = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`,
		p.code, p.message, p.since, p.retryAt, p.attempts, stamp(t.now), hostID)
	return err
}

func (t *tx) clearHostProblem(hostID string) error {
	_, err := t.exec(`
		UPDATE instance
		SET problem_code = NULL,
		    problem_message = '',
		    problem_since = NULL,
		    problem_retry_at = NULL,
		    problem_attempts = 0,
		    problem_of_host = 0,
		    updated_at = ?,
		    revision = revision + 1
		WHERE host_id = ?
		  AND gone_at IS NULL
		  AND problem_of_host = 1`, stamp(t.now), hostID)
	return err
}

// passHostProblem writes the host's problem on its instances. The tries are the
// host's: they do not count on an instance, so a host that stays away changes
// each instance once.
func (t *tx) passHostProblem(hostID string, p problemColumns) error {
	_, err := t.exec(`
		UPDATE instance
		SET problem_code = ?,
		    problem_message = ?,
		    problem_since = ?,
		    problem_retry_at = NULL,
		    problem_attempts = 0,
		    problem_of_host = 1,
		    updated_at = ?,
		    revision = revision + 1
		WHERE host_id = ?
		  AND gone_at IS NULL
		  AND (
		    problem_code IS NULL
		    OR (problem_of_host = 1 AND (problem_code <> ? OR problem_message <> ?))
		  )`,
		p.code, p.message, p.since, stamp(t.now), hostID, p.code, p.message)
	return err
}
