package store

import (
	"context"
	"database/sql"

	"lodge/cloud"
)

func noInstance(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no instance %q; list the instances to see yours.", id)
}

// Instance returns one instance that is not gone. Returns CodeNotFound when
// there is none that the caller may see.
func (d *DB) Instance(ctx context.Context, c cloud.Caller, id string) (cloud.Instance, error) {
	if err := ctx.Err(); err != nil {
		return cloud.Instance{}, fail("read instance", err)
	}
	k, err := d.known(d.read(ctx), id)
	if err != nil {
		return cloud.Instance{}, fail("read instance", err)
	}
	if !c.Sees(k.instance.TenantID) {
		return cloud.Instance{}, noInstance(id)
	}
	return k.instance, nil
}

// known gives an instance that is not gone as it is in the database now.
// Returns CodeNotFound when there is none.
func (d *DB) known(s source, id string) (*known, error) {
	var revision int64
	err := s.row(`
		SELECT revision
		FROM instance
		WHERE id = ?
		  AND gone_at IS NULL`, id).Scan(&revision)
	if err == sql.ErrNoRows {
		return nil, noInstance(id)
	}
	if err != nil {
		return nil, err
	}
	if k := d.cache.get(id, revision); k != nil {
		return k, nil
	}
	found, err := fetchInstances(s, []string{id})
	if err != nil {
		return nil, err
	}
	k := found[id]
	if k == nil {
		return nil, noInstance(id)
	}
	d.cache.put(k)
	return k, nil
}

// revised is what a list reads of an instance: enough to find it in the cache.
type revised struct {
	id       string
	revision int64
	created  sql.NullInt64
	name     string // where the list is sorted by it
}

// Instances lists the instances that are not gone and that the caller may see.
//
// Returns CodeNotFound when the filter names a tenant that the caller may not
// see, CodeInvalid for a sort that is none and a cursor that this list did not give.
func (d *DB) Instances(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Instance, next string, err error) {
	s := d.read(ctx)
	refs, next, err := listed(s, c, f, p)
	if err != nil {
		return nil, "", fail("list instances", err)
	}
	all, err := d.resolve(s, refs)
	if err != nil {
		return nil, "", fail("list instances", err)
	}
	items = make([]cloud.Instance, 0, len(all))
	for _, k := range all {
		items = append(items, k.instance)
	}
	return items, next, nil
}

// listed reads one page of a list of instances.
func listed(s source, c cloud.Caller, f cloud.Filter, p cloud.Page) (refs []revised, next string, err error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, "", err
	}
	page, err := listSpan(p, "instances", tenantID, f)
	if err != nil {
		return nil, "", err
	}
	found, err := countTerms(s, tenantID, f, page.sort)
	if err != nil {
		return nil, "", err
	}
	q := instancesOf(chooseRoute(f.Labels, page.sort, found), tenantID, f, "")
	query := q.page(page)
	if refs, err = revisions(s, query, page.limit+1, q.args...); err != nil {
		return nil, "", err
	}
	refs, next = cut(page, refs, func(r *revised) place { return place{moment(r.created), r.name, r.id} })
	return refs, next, nil
}

// revisions runs a query for id, revision and created_at, and name where the
// list is sorted by it. It is the hot part of every list: one row variable, room
// made once.
func revisions(s source, query string, room int, args ...any) ([]revised, error) {
	rows, err := s.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]revised, 0, room)
	var r revised
	into := []any{&r.id, &r.revision, &r.created.Int64}
	if columns, err := rows.Columns(); err == nil && len(columns) > len(into) {
		into = append(into, &r.name)
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		r.created.Valid = true
		out = append(out, r)
	}
	return out, rows.Err()
}

// resolve gives the instances of the references in their order: from the cache
// where the revision is the one just read, from the database otherwise. One
// that went in between is left out.
func (d *DB) resolve(s source, refs []revised) ([]*known, error) {
	out := make([]*known, len(refs))
	var missing []string
	for i, r := range refs {
		if out[i] = d.cache.get(r.id, r.revision); out[i] == nil {
			missing = append(missing, r.id)
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	found, err := fetchInstances(s, missing)
	if err != nil {
		return nil, err
	}
	kept := out[:0]
	for i, r := range refs {
		k := out[i]
		if k == nil {
			if k = found[r.id]; k == nil {
				continue
			}
			d.cache.put(k)
		}
		kept = append(kept, k)
	}
	return kept, nil
}
