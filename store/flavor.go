package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

func scanFlavor(rows *sql.Rows) (f cloud.Flavor, err error) {
	var created sql.NullInt64
	err = rows.Scan(
		&f.ID,
		&f.VCPUs,
		&f.MemoryMiB,
		&f.DiskGiB,
		&created,
	)
	f.CreatedAt = moment(created)
	return f, err
}

const flavorQuery = `
		SELECT
		  id,
		  vcpus,
		  memory_mib,
		  disk_gib,
		  created_at
		FROM flavor`

// Flavors lists the named sizes, the small ones first.
func (d *DB) Flavors(ctx context.Context) ([]cloud.Flavor, error) {
	flavors, err := collect(d.read(ctx), scanFlavor, flavorQuery+`
		ORDER BY vcpus, memory_mib, disk_gib, id`)
	return flavors, fail("list flavors", err)
}

// Flavor returns one named size. Returns CodeNotFound when there is none.
func (d *DB) Flavor(ctx context.Context, id string) (cloud.Flavor, error) {
	f, found, err := flavor(d.read(ctx), id)
	if err == nil && !found {
		err = noFlavor(id)
	}
	return f, fail("read flavor", err)
}

func flavor(s source, id string) (cloud.Flavor, bool, error) {
	return one(s, scanFlavor, flavorQuery+`
		WHERE id = ?`, id)
}

func noFlavor(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no flavor %q; list the flavors to see them.", id)
}

// CreateFlavor makes a named size. Returns CodeForbidden for anybody but an
// operator, CodeNameTaken when there is one with the id.
func (d *DB) CreateFlavor(ctx context.Context, c cloud.Caller, now time.Time, f cloud.Flavor) error {
	if !c.Operator {
		return cloud.Errorf(cloud.CodeForbidden, "Only an operator makes flavors; give the size in numbers instead.")
	}
	return d.write(ctx, now, c, "flavor.create", func(t *tx) error {
		_, taken, err := flavor(t, f.ID)
		if err != nil {
			return err
		}
		if taken {
			return cloud.Errorf(cloud.CodeNameTaken, "There is a flavor %q already; choose another id.", f.ID)
		}
		if err := t.insertFlavor(f); err != nil {
			return err
		}
		t.answer = f
		return t.event("", cloud.Ref{Kind: cloud.KindFlavor, ID: f.ID}, f.ID, "flavor.created", "The flavor "+f.ID+" was made.", nil)
	})
}

func (t *tx) insertFlavor(f cloud.Flavor) error {
	_, err := t.exec(`
		INSERT INTO flavor (
		  id,
		  vcpus,
		  memory_mib,
		  disk_gib,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, ?, ?, ?)`,
		f.ID,
		f.VCPUs,
		f.MemoryMiB,
		f.DiskGiB,
		stamp(t.now),
		stamp(t.now),
	)
	return err
}

// DeleteFlavor removes a named size; instances made from it keep theirs.
// Returns CodeForbidden for anybody but an operator, CodeNotFound when there is
// none, CodeConflict for the one of requests that name none.
func (d *DB) DeleteFlavor(ctx context.Context, c cloud.Caller, now time.Time, id string) error {
	if !c.Operator {
		return cloud.Errorf(cloud.CodeForbidden, "Only an operator deletes flavors.")
	}
	if id == cloud.DefaultFlavorID {
		return cloud.Errorf(cloud.CodeConflict, "The flavor %s is the size of requests that name none, so it stays.", id)
	}
	return d.write(ctx, now, c, "flavor.delete", func(t *tx) error {
		f, found, err := flavor(t, id)
		if err == nil && !found {
			err = noFlavor(id)
		}
		if err != nil {
			return err
		}
		if err := c.Expects(f.Tag()); err != nil {
			return err
		}
		t.audited("", cloud.Ref{Kind: cloud.KindFlavor, ID: id}, id)
		_, err = t.exec(`DELETE FROM flavor WHERE id = ?`, id)
		return err
	})
}
