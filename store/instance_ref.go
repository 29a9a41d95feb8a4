package store

import (
	"context"
	"database/sql"

	"lodge/cloud"
)

// InstanceRef returns the id and the revision of an instance, and nothing else
// of it. The revision grows with every change of anything that Instance gives.
// Returns CodeNotFound when there is none that the caller may see.
func (d *DB) InstanceRef(ctx context.Context, c cloud.Caller, id string) (cloud.Meta, error) {
	if err := ctx.Err(); err != nil {
		return cloud.Meta{}, fail("read instance revision", err)
	}
	var tenantID string
	var revision int64
	err := d.read(ctx).row(`
		SELECT
		  tenant_id,
		  revision
		FROM instance
		WHERE id = ?
		  AND gone_at IS NULL`, id).Scan(&tenantID, &revision)
	if err == sql.ErrNoRows || (err == nil && !c.Sees(tenantID)) {
		err = noInstance(id)
	}
	if err != nil {
		return cloud.Meta{}, fail("read instance revision", err)
	}
	return cloud.Meta{ID: id, Revision: revision}, nil
}

// InstanceRefs lists what Instances lists, in the same order and with the same
// cursors, but only ids and revisions.
func (d *DB) InstanceRefs(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (refs []cloud.Meta, next string, err error) {
	found, next, err := listed(d.read(ctx), c, f, p)
	if err != nil {
		return nil, "", fail("list instance revisions", err)
	}
	refs = make([]cloud.Meta, len(found))
	for i, r := range found {
		refs[i] = cloud.Meta{ID: r.id, Revision: r.revision}
	}
	return refs, next, nil
}

// InstancesByID returns the instances with the ids that are not gone and that
// the caller may see, in any order; the others are left out.
func (d *DB) InstancesByID(ctx context.Context, c cloud.Caller, ids []string) ([]cloud.Instance, error) {
	s := d.read(ctx)
	var items []cloud.Instance
	for from := 0; from < len(ids); from += chunk {
		in, args := marks(ids[from:min(from+chunk, len(ids))])
		refs, err := revisions(s, `
			SELECT
			  id,
			  revision,
			  0
			FROM instance
			WHERE id IN (`+in+`)
			  AND gone_at IS NULL`, chunk, args...)
		if err != nil {
			return nil, fail("read instances", err)
		}
		all, err := d.resolve(s, refs)
		if err != nil {
			return nil, fail("read instances", err)
		}
		for _, k := range all {
			if c.Sees(k.instance.TenantID) {
				items = append(items, k.instance)
			}
		}
	}
	return items, nil
}
