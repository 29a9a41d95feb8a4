package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
)

const tenantColumns = `
		  id,
		  name,
		  labels,
		  created_at,
		  updated_at,
		  revision,
		  deleted_at`

func scanTenant(rows *sql.Rows) (t cloud.Tenant, err error) {
	var meta metaColumns
	var deleted sql.NullInt64
	err = rows.Scan(
		&t.ID,
		&t.Name,
		&meta.labels,
		&meta.createdAt,
		&meta.updated,
		&t.Revision,
		&deleted,
	)
	if err != nil {
		return t, err
	}
	t.DeletedAt = moment(deleted)
	return t, meta.into(&t.Meta)
}

func noTenant(idOrName string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no tenant %q; list the tenants to see the ones you may use.", idOrName)
}

// derive makes the id of an object that comes with another one and has no id of
// its own in the request: the same parent and role always give the same id.
func derive(parentID, role string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("lodge\x00"+parentID+"\x00"+role)).String()
}

// CreateTenant makes a tenant with its default network, subnet, router and
// security group.
//
// Returns CodeForbidden for anybody but an operator, CodeNameTaken when another
// tenant has the name, CodeAddresses when the pool has no subnet left.
func (d *DB) CreateTenant(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewTenant) (tenant cloud.Tenant, err error) {
	if !c.Operator {
		return tenant, cloud.Errorf(cloud.CodeForbidden, "Only an operator makes tenants; ask yours for %q.", n.Name)
	}
	err = d.write(ctx, now, c, "tenant.create", func(t *tx) error {
		if err := t.refuseUnadopted(); err != nil {
			return err
		}
		if err := t.createTenant(n); err != nil {
			return err
		}
		tenant, err = liveTenant(t, n.ID)
		t.answer = tenant
		return err
	})
	return tenant, err
}

func (t *tx) createTenant(n cloud.NewTenant) error {
	taken, err := exists(t, `SELECT 1 FROM tenant WHERE name = ? AND deleted_at IS NULL`, n.Name)
	if err != nil {
		return err
	}
	if taken {
		return cloud.Errorf(cloud.CodeNameTaken, "There is a tenant named %q already; choose another name.", n.Name)
	}
	_, err = t.exec(`
		INSERT INTO tenant (
		  id,
		  name,
		  labels,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, ?, ?)`,
		n.ID,
		n.Name,
		asJSON(n.Labels),
		stamp(t.now),
		stamp(t.now),
	)
	if err != nil {
		return err
	}
	if err := t.createDefaultNetwork(n); err != nil {
		return err
	}
	if err := t.createDefaultSecurityGroup(n.ID); err != nil {
		return err
	}
	return t.event(n.ID, cloud.Ref{Kind: cloud.KindTenant, ID: n.ID}, n.Name, "tenant.created",
		"The tenant "+n.Name+" was made.", nil)
}

// liveTenant returns the tenant with the id. Returns CodeNotFound when there is
// none or it was deleted.
func liveTenant(s source, id string) (cloud.Tenant, error) {
	tenant, found, err := one(s, scanTenant, `
		SELECT `+tenantColumns+`
		FROM tenant
		WHERE id = ?
		  AND deleted_at IS NULL`, id)
	if err == nil && !found {
		err = noTenant(id)
	}
	return tenant, err
}

// Tenant returns the tenant with the id or, when no tenant has it as its id,
// with the name. Returns CodeNotFound when there is none that the caller may see.
func (d *DB) Tenant(ctx context.Context, c cloud.Caller, idOrName string) (cloud.Tenant, error) {
	tenant, err := namedTenant(d.read(ctx), idOrName)
	if err == nil && !c.Sees(tenant.ID) {
		err = noTenant(idOrName)
	}
	if err != nil {
		return cloud.Tenant{}, fail("read tenant", err)
	}
	return tenant, nil
}

// namedTenant is liveTenant for an id or a name.
func namedTenant(s source, idOrName string) (cloud.Tenant, error) {
	tenant, found, err := one(s, scanTenant, `
		SELECT `+tenantColumns+`
		FROM tenant
		WHERE (id = ? OR name = ?)
		  AND deleted_at IS NULL
		ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END
		LIMIT 1`, idOrName, idOrName, idOrName)
	if err == nil && !found {
		err = noTenant(idOrName)
	}
	return tenant, err
}

// Tenants lists the live tenants that the caller may see.
func (d *DB) Tenants(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Tenant, next string, err error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, "", err
	}
	page, err := listSpan(p, "tenants", tenantID, f)
	if err != nil {
		return nil, "", err
	}
	var w where
	w.and("deleted_at IS NULL")
	if tenantID != "" {
		w.and("id = ?", tenantID)
	}
	w.filter(cloud.KindTenant, "", f)
	tail := page.in(&w, "")
	items, err = collect(d.read(ctx), scanTenant, `SELECT `+tenantColumns+` FROM tenant`+tail, w.args...)
	if err != nil {
		return nil, "", fail("list tenants", err)
	}
	items, next = cut(page, items, func(t *cloud.Tenant) place { return place{t.CreatedAt, t.Name, t.ID} })
	return items, next, nil
}

// DeleteTenant deletes a tenant that has nothing left but its networks, which go
// with it. Its usage stays.
//
// Returns CodeForbidden for anybody but an operator, CodeNotFound when there is
// no such tenant, CodeConflict for the default one, CodeInUse while instances or
// images of it are there.
func (d *DB) DeleteTenant(ctx context.Context, c cloud.Caller, now time.Time, id string) error {
	if !c.Sees(id) {
		return noTenant(id)
	}
	if !c.Operator {
		return cloud.Errorf(cloud.CodeForbidden, "Only an operator deletes tenants; ask yours to delete this one.")
	}
	return d.write(ctx, now, c, "tenant.delete", func(t *tx) error {
		tenant, err := liveTenant(t, id)
		if err != nil {
			return err
		}
		t.answer = tenant
		if err := c.Expects(tenant.Tag()); err != nil {
			return err
		}
		if err := t.refuseTenantInUse(tenant); err != nil {
			return err
		}
		return t.deleteTenant(tenant)
	})
}

func (t *tx) refuseTenantInUse(tenant cloud.Tenant) error {
	if tenant.Name == cloud.DefaultTenantName {
		return cloud.Errorf(cloud.CodeConflict, "The tenant %q is the one lodge starts with and cannot be deleted.", tenant.Name)
	}
	var instances, images int
	err := t.row(`
		SELECT
		  (SELECT COUNT(*) FROM instance WHERE tenant_id = ? AND gone_at IS NULL),
		  (SELECT COUNT(*) FROM image WHERE tenant_id = ? AND gone_at IS NULL)`,
		tenant.ID, tenant.ID).Scan(&instances, &images)
	if err != nil {
		return err
	}
	if instances > 0 {
		return cloud.Errorf(cloud.CodeInUse, "The tenant %q still has instances (%d); delete them and wait until they are gone.", tenant.Name, instances)
	}
	if images > 0 {
		return cloud.Errorf(cloud.CodeInUse, "The tenant %q still has images (%d); delete them and wait until they are gone.", tenant.Name, images)
	}
	return nil
}

func (t *tx) deleteTenant(tenant cloud.Tenant) error {
	for _, table := range []string{"network", "router", "security_group"} {
		_, err := t.exec(`
			UPDATE `+table+`
			SET deleted_at = ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE tenant_id = ?
			  AND deleted_at IS NULL`, stamp(t.now), stamp(t.now), tenant.ID)
		if err != nil {
			return err
		}
	}
	_, err := t.exec(`
		UPDATE tenant
		SET deleted_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`, stamp(t.now), stamp(t.now), tenant.ID)
	if err != nil {
		return err
	}
	for _, table := range []string{"budget_crossing", "budget", "webhook", "schedule"} {
		if _, err := t.exec(`DELETE FROM `+table+` WHERE tenant_id = ?`, tenant.ID); err != nil {
			return err
		}
	}
	if err := t.touchUsers(`id IN (SELECT user_id FROM membership WHERE tenant_id = ?)`, tenant.ID); err != nil {
		return err
	}
	t.wished, t.identityChanged = true, true
	return t.event(tenant.ID, cloud.Ref{Kind: cloud.KindTenant, ID: tenant.ID}, tenant.Name, "tenant.deleted",
		"The tenant "+tenant.Name+" was deleted.", nil)
}
