package store

import (
	"context"
	"database/sql"

	"lodge/cloud"
)

// presentInstances is what is there of instances, as it was recorded, with the size
// that it counts by. The disk counts while its volume is there.
const presentInstances = `
		SELECT
		  i.id,
		  i.tenant_id,
		  i.name,
		  i.created_at,
		  i.state,
		  CASE WHEN i.state IN ('running', 'paused') THEN i.running_vcpus ELSE i.vcpus END,
		  CASE WHEN i.state IN ('running', 'paused') THEN i.running_memory_mib ELSE i.memory_mib END,
		  v.size_gib,
		  v.state = 'available',
		  i.deleted_at,
		  i.decided_generation = i.generation,
		  i.problem_code IS NOT NULL,
		  i.power = 'stopped'
		FROM instance i
		JOIN attachment a ON a.instance_id = i.id AND a.slot = 'root'
		JOIN volume v ON v.id = a.volume_id
		WHERE i.gone_at IS NULL
		ORDER BY i.id`

const presentImages = `
		SELECT
		  id,
		  tenant_id,
		  name,
		  created_at,
		  state,
		  size_bytes,
		  COALESCE(problem_code, ''),
		  deleted_at
		FROM image
		WHERE gone_at IS NULL
		ORDER BY id`

func scanPresentInstance(rows *sql.Rows) (p cloud.Present, err error) {
	var created, deleted sql.NullInt64
	var state cloud.State
	var size cloud.Size
	var disk, decided, problem, off bool
	err = rows.Scan(&p.ResourceID, &p.TenantID, &p.Resource, &created, &state, &size.VCPUs, &size.MemoryMiB, &size.DiskGiB, &disk, &deleted, &decided, &problem, &off)
	p.CreatedAt = moment(created)
	p.Readings = cloud.Readings(state, size, disk)
	p.Ending = deleted.Valid
	// While the host cannot be looked at a newer wish is decided on and not counted.
	p.SizeSettled = decided && !problem || state.Runs()
	// That its disk is lost is no problem of a guest as long as it is being stopped.
	p.DiskUnsure = problem || !disk || off && state.Runs()
	return p, err
}

func scanPresentImage(rows *sql.Rows) (p cloud.Present, err error) {
	var created, deleted sql.NullInt64
	var state cloud.ImageState
	var bytes int64
	var problem cloud.Problem
	err = rows.Scan(&p.ResourceID, &p.TenantID, &p.Resource, &created, &state, &bytes, &problem.Code, &deleted)
	p.CreatedAt, p.Ending, p.SizeSettled = moment(created), deleted.Valid, true
	p.Readings = cloud.ImageReadings(state, &problem, bytes)
	return p, err
}

func (l ledger) Present(f func(cloud.Present) error) error {
	with := func(p cloud.Present) (err error) {
		if p.Open, err = openIntervals(l, p.ResourceID); err != nil {
			return err
		}
		return f(p)
	}
	if err := each(l, scanPresentInstance, with, presentInstances); err != nil {
		return err
	}
	return each(l, scanPresentImage, with, presentImages)
}

// UnmeteredInstances are the instances of a host whose guests were seen and whose
// meters do not all run. There are none unless somebody took rows away beside
// lodge: a record writes both at once. What is known of them is forgotten, so that
// the next record compares with what is there.
func (d *DB) UnmeteredInstances(ctx context.Context, hostID string) ([]string, error) {
	ids, err := collect(d.read(ctx), scanText, `
		SELECT i.id
		FROM instance i
		WHERE i.host_id = ?
		  AND i.gone_at IS NULL
		  AND i.deleted_at IS NULL
		  AND i.state IN ('running', 'paused', 'stopped', 'sleeping')
		  AND (
		    SELECT COUNT(*)
		    FROM usage_interval u INDEXED BY usage_interval_open
		    WHERE u.resource_id = i.id
		      AND u.ended_at IS NULL
		      AND u.meter IN ('instance', 'vcpu', 'memory')
		  ) < 3
		ORDER BY i.id`, hostID)
	for _, id := range ids {
		d.cache.drop(id)
	}
	return ids, fail("look for what is not counted", err)
}
