package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

const imageQuery = `
		SELECT
		  id,
		  tenant_id,
		  name,
		  labels,
		  created_at,
		  updated_at,
		  revision,
		  host_id,
		  public,
		  is_default,
		  source,
		  url,
		  sha256_promised,
		  firmware,
		  login,
		  deleted_at,
		  protected,
		  state,
		  problem_code,
		  problem_message,
		  problem_since,
		  problem_retry_at,
		  problem_attempts,
		  format,
		  sha256_measured,
		  size_bytes,
		  virtual_size,
		  bytes_done,
		  bytes_total
		FROM image`

func scanImage(rows *sql.Rows) (i cloud.Image, err error) {
	var meta metaColumns
	var host sql.NullString
	var deleted sql.NullInt64
	var measured string
	var p problemColumns
	err = rows.Scan(
		&i.ID,
		&i.TenantID,
		&i.Name,
		&meta.labels,
		&meta.createdAt,
		&meta.updated,
		&i.Revision,
		&host,
		&i.Public,
		&i.Default,
		&i.Source,
		&i.URL,
		&i.SHA256,
		&i.Firmware,
		&i.User,
		&deleted,
		&i.Protected,
		&i.State,
		&p.code,
		&p.message,
		&p.since,
		&p.retryAt,
		&p.attempts,
		&i.Format,
		&measured,
		&i.SizeBytes,
		&i.VirtualSize,
		&i.BytesDone,
		&i.BytesTotal,
	)
	if err != nil {
		return i, err
	}
	if measured != "" {
		i.SHA256 = measured
	}
	i.HostID, i.DeletedAt, i.Problem = host.String, moment(deleted), p.problem()
	return i, meta.into(&i.Meta)
}

func noImage(idOrName string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no image %q; list the images to see the ones you may use.", idOrName)
}

// findImage finds the image that a tenant means: by id, else its own by name,
// else the oldest public one of that name. Its images and the public ones are
// all it may use; with an empty tenantID every image is. One whose deletion was
// asked for is found no more, though its bytes may still be there.
func findImage(s source, idOrName, tenantID string) (cloud.Image, bool, error) {
	return one(s, scanImage, imageQuery+`
		WHERE deleted_at IS NULL
		  AND gone_at IS NULL
		  AND (id = ? OR name = ?)
		  AND (tenant_id = ? OR public = 1 OR ? = '')
		ORDER BY
		  CASE WHEN id = ? THEN 0 WHEN tenant_id = ? THEN 1 ELSE 2 END,
		  created_at,
		  id
		LIMIT 1`,
		idOrName, idOrName, tenantID, tenantID, idOrName, tenantID)
}

// defaultImage is the tenant's own default, else the oldest public one.
func defaultImage(s source, tenantID string) (cloud.Image, bool, error) {
	return one(s, scanImage, imageQuery+`
		WHERE is_default = 1
		  AND deleted_at IS NULL
		  AND (tenant_id = +? OR public = 1)
		ORDER BY
		  CASE WHEN tenant_id = +? THEN 0 ELSE 1 END,
		  created_at,
		  id
		LIMIT 1`, tenantID, tenantID)
}

// CreateImage writes down the wish for an image: queued when lodge fetches it,
// importing when the caller sends the bytes. Once it is active it becomes its
// tenant's default when asked to, or when the tenant has none to use yet.
//
// Returns CodeNotFound for a tenant that the caller may not see, CodeForbidden
// for a public image of anybody but an operator, CodeNameTaken.
func (d *DB) CreateImage(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewImage) (img cloud.Image, err error) {
	if !c.Sees(n.TenantID) {
		return img, noTenant(n.TenantID)
	}
	if n.Public && !c.Operator {
		return img, cloud.Errorf(cloud.CodeForbidden, "Only an operator makes an image public; leave it private, or ask yours.")
	}
	err = d.write(ctx, now, c, "image.create", func(t *tx) error {
		if err := t.createImage(n); err != nil {
			return err
		}
		if img, _, err = imageByID(t, n.ID); err != nil {
			return err
		}
		if t.answer = img; n.Source == cloud.SourceUpload {
			t.pending = img.ID // the answer comes with the last byte
		}
		return t.beginOnImage(cloud.OperationImageImport, img)
	})
	return img, err
}

func (t *tx) createImage(n cloud.NewImage) error {
	if _, err := liveTenant(t, n.TenantID); err != nil {
		return err
	}
	if err := t.refuseImageName(n.TenantID, n.Name); err != nil {
		return err
	}
	if err := t.refuseQuota(n.TenantID, cloud.Amounts{cloud.ResourceImages: 1}); err != nil {
		return err
	}
	if err := t.insertImage(n); err != nil {
		return err
	}
	err := t.firstFact(cloud.UsageFact{TenantID: n.TenantID, Kind: cloud.KindImage, ResourceID: n.ID, Name: n.Name, Labels: n.Labels})
	if err != nil {
		return err
	}
	t.wished = true
	return t.event(n.TenantID, cloud.Ref{Kind: cloud.KindImage, ID: n.ID}, n.Name, "image.created",
		"The image "+n.Name+" is to be imported.", nil)
}

func (t *tx) refuseImageName(tenantID, name string) error {
	taken, err := exists(t, `
		SELECT 1
		FROM image
		WHERE tenant_id = ?
		  AND name = ?
		  AND deleted_at IS NULL`, tenantID, name)
	if err == nil && taken {
		err = cloud.Errorf(cloud.CodeNameTaken, "There is an image named %q already; choose another name or delete that one first.", name)
	}
	return err
}

// settleDefault decides whether an image that has just become active is its
// tenant's default.
func (t *tx) settleDefault(img cloud.Image) error {
	wants, err := exists(t, `SELECT 1 FROM image WHERE id = ? AND wants_default = 1`, img.ID)
	if err != nil {
		return err
	}
	if !wants {
		if _, found, err := defaultImage(t, img.TenantID); err != nil || found {
			return err
		}
	}
	return t.makeDefault(img)
}

// makeDefault moves the default of the image's tenant to it; a tenant has one at
// most.
func (t *tx) makeDefault(img cloud.Image) error {
	_, err := t.exec(`
		UPDATE image
		SET is_default = 0,
		    updated_at = ?,
		    revision = revision + 1
		WHERE tenant_id = ?
		  AND is_default = 1
		  AND id <> ?`, stamp(t.now), img.TenantID, img.ID)
	if err != nil {
		return err
	}
	_, err = t.exec(`
		UPDATE image
		SET is_default = 1,
		    wants_default = 0
		WHERE id = ?`, img.ID)
	return err
}

func (t *tx) insertImage(n cloud.NewImage) error {
	host, err := t.onlyHost()
	if err != nil {
		return err
	}
	state := cloud.ImageQueued
	if n.Source == cloud.SourceUpload {
		state = cloud.ImageImporting
	}
	_, err = t.exec(`
		INSERT INTO image (
		  id,
		  tenant_id,
		  name,
		  labels,
		  created_at,
		  updated_at,
		  host_id,
		  public,
		  wants_default,
		  source,
		  url,
		  sha256_promised,
		  firmware,
		  login,
		  protected,
		  state
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		n.ID,
		n.TenantID,
		n.Name,
		asJSON(n.Labels),
		stamp(t.now),
		stamp(t.now),
		orNull(host),
		n.Public,
		n.Default,
		string(n.Source),
		n.URL,
		n.SHA256,
		string(n.Firmware),
		n.User,
		n.Protected,
		string(state),
	)
	return err
}

func imageByID(s source, id string) (cloud.Image, bool, error) {
	return one(s, scanImage, imageQuery+`
		WHERE id = ?
		  AND gone_at IS NULL`, id)
}

// Image returns the image that is meant: by id, else by name, the tenant's own
// ones first, then the public ones. An empty tenantID is the caller's tenant.
// Returns CodeNotFound when there is none that the caller may see, also once its
// deletion was asked for.
func (d *DB) Image(ctx context.Context, c cloud.Caller, idOrName string, tenantID string) (cloud.Image, error) {
	tenantID, err := scope(c, tenantID)
	if err != nil {
		return cloud.Image{}, err
	}
	if tenantID == "" {
		tenantID = c.TenantID
	}
	img, found, err := findImage(d.read(ctx), idOrName, tenantID)
	if err == nil && !found {
		err = noImage(idOrName)
	}
	return img, fail("read image", err)
}

// Images lists the images that a tenant may use: its own and the public ones;
// for an operator without a tenant in the filter, all. Those whose deletion was
// asked for are left out.
//
// Returns CodeNotFound when the filter names a tenant that the caller may not
// see, CodeInvalid for a cursor that this list did not give.
func (d *DB) Images(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.Image, next string, err error) {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return nil, "", err
	}
	page, err := listSpan(p, "images", tenantID, f)
	if err != nil {
		return nil, "", err
	}
	var w where
	w.and("deleted_at IS NULL")
	w.and("gone_at IS NULL")
	if tenantID != "" {
		w.and("(tenant_id = ? OR public = 1)", tenantID)
	}
	w.equal("state", f.State)
	w.filter(cloud.KindImage, "", f)
	tail := page.in(&w, "")
	if items, err = collect(d.read(ctx), scanImage, imageQuery+tail, w.args...); err != nil {
		return nil, "", fail("list images", err)
	}
	items, next = cut(page, items, func(i *cloud.Image) place { return place{i.CreatedAt, i.Name, i.ID} })
	return items, next, nil
}

// DeleteImage says that an image is not wanted any more; asked again it changes
// nothing.
//
// Returns CodeNotFound, CodeForbidden for a public image of another tenant,
// CodeProtected, CodeInUse while a disk is based on it, CodeConflict while it is
// being uploaded.
func (d *DB) DeleteImage(ctx context.Context, c cloud.Caller, now time.Time, id string) error {
	return d.write(ctx, now, c, "image.delete", func(t *tx) error {
		img, found, err := imageByID(t, id)
		if err != nil {
			return err
		}
		if !found || (!c.Sees(img.TenantID) && !img.Public) {
			return noImage(id)
		}
		if !c.Sees(img.TenantID) {
			return cloud.Errorf(cloud.CodeForbidden, "The image %s is public and belongs to another tenant; only its owner or an operator deletes it.", img.Name)
		}
		if !img.DeletedAt.IsZero() {
			return t.joinOperation(cloud.OperationImageDelete, id)
		}
		t.answer, t.freed = img, cloud.Amounts{cloud.ResourceImages: 1}
		if err := c.Expects(img.Tag()); err != nil {
			return err
		}
		if err := refuseProtected(cloud.KindImage, img.Name, img.Protected); err != nil {
			return err
		}
		if err := t.refuseImageInUse(img); err != nil {
			return err
		}
		return t.deleteImage(img)
	})
}

func (t *tx) refuseImageInUse(img cloud.Image) error {
	if img.Source == cloud.SourceUpload && img.State == cloud.ImageImporting {
		return cloud.Errorf(cloud.CodeConflict, "The image %s is being uploaded; end the upload, and nothing of it stays.", img.Name)
	}
	var disks int
	err := t.row(`
		SELECT COUNT(*)
		FROM volume
		WHERE image_id = ?
		  AND gone_at IS NULL`, img.ID).Scan(&disks)
	if err == nil && disks > 0 {
		err = cloud.Errorf(cloud.CodeInUse, "The image %s is what the disks of instances are based on (%d now); delete those first.", img.Name, disks)
	}
	if err == nil && disks == 0 {
		err = t.refuseImageOfOrphans(img)
	}
	return err
}

func (t *tx) deleteImage(img cloud.Image) error {
	_, err := t.exec(`
		UPDATE image
		SET deleted_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`, stamp(t.now), stamp(t.now), img.ID)
	if err != nil {
		return err
	}
	t.wished = true
	err = t.event(img.TenantID, cloud.Ref{Kind: cloud.KindImage, ID: img.ID}, img.Name, "image.deleted",
		"The image "+img.Name+" was deleted.", nil)
	if err != nil {
		return err
	}
	img.DeletedAt = t.now
	// Not with the record that it is gone: a removal that fails again and again
	// would leave it open for as long.
	if err := t.meterImage(img, img.DeletedAt, cloud.EvidenceDeleted); err != nil {
		return err
	}
	return t.beginOnImage(cloud.OperationImageDelete, img)
}
