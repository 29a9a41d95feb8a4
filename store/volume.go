package store

import (
	"lodge/cloud"
)

// insertRoot makes the root volume of a new instance and ties it to it.
func (t *tx) insertRoot(n cloud.NewInstance, img cloud.Image, hostID string) error {
	at := stamp(t.now)
	_, err := t.exec(`
		INSERT INTO volume (
		  id,
		  tenant_id,
		  name,
		  created_at,
		  updated_at,
		  host_id,
		  size_gib,
		  image_id,
		  state
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		n.VolumeID,
		n.TenantID,
		n.Name,
		at,
		at,
		hostID,
		n.DiskGiB,
		img.ID,
		string(cloud.VolumeRequested),
	)
	if err != nil {
		return err
	}
	_, err = t.exec(`
		INSERT INTO attachment (
		  instance_id,
		  slot,
		  volume_id,
		  tenant_id,
		  delete_with_instance,
		  created_at
		) VALUES (?, ?, ?, ?, 1, ?)`,
		n.ID, rootSlot, n.VolumeID, n.TenantID, at)
	return err
}

// rootSeen makes a requested root volume available.
func (t *tx) rootSeen(instanceID string) error {
	_, err := t.exec(`
		UPDATE volume
		SET state = 'available',
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = (SELECT volume_id FROM attachment WHERE instance_id = ? AND slot = ?)
		  AND state = 'requested'`, stamp(t.now), instanceID, rootSlot)
	return err
}

// deleteVolumesOf marks the volumes that go with an instance as not wanted.
func (t *tx) deleteVolumesOf(instanceID string) error {
	_, err := t.exec(`
		UPDATE volume
		SET deleted_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id IN (SELECT volume_id FROM attachment WHERE instance_id = ? AND delete_with_instance = 1)
		  AND deleted_at IS NULL`, stamp(t.now), stamp(t.now), instanceID)
	return err
}

// volumesGone makes tombstones of the volumes that went with an instance.
func (t *tx) volumesGone(instanceID string) error {
	_, err := t.exec(`
		UPDATE volume
		SET state = 'gone',
		    gone_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id IN (SELECT volume_id FROM attachment WHERE instance_id = ? AND delete_with_instance = 1)
		  AND gone_at IS NULL`, stamp(t.now), stamp(t.now), instanceID)
	return err
}
