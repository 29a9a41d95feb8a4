package store

import "lodge/cloud"

// insertPort makes a port with its addresses, in the tenant's default group.
func (t *tx) insertPort(p cloud.Port) error {
	at := stamp(t.now)
	_, err := t.exec(`
		INSERT INTO port (
		  id,
		  tenant_id,
		  network_id,
		  instance_id,
		  slot,
		  mac,
		  name,
		  labels,
		  delete_with_instance,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID,
		p.TenantID,
		p.NetworkID,
		orNull(p.InstanceID),
		p.Slot,
		p.MAC,
		p.Name,
		asJSON(p.Labels),
		p.DeleteWithInstance,
		at,
		at,
	)
	if err != nil {
		return err
	}
	for _, ip := range p.FixedIPs {
		_, err := t.exec(`
			INSERT INTO port_fixed_ip (
			  port_id,
			  subnet_id,
			  address,
			  tenant_id,
			  created_at
			) VALUES (?, ?, ?, ?, ?)`,
			p.ID, ip.SubnetID, ip.Address.String(), p.TenantID, at)
		if err != nil {
			return err
		}
	}
	return t.joinDefaultGroup(p)
}

// renamePortsOf gives the ports made for an instance its new name.
func (t *tx) renamePortsOf(instanceID, name string) error {
	_, err := t.exec(`
		UPDATE port
		SET name = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE instance_id = ?
		  AND delete_with_instance = 1
		  AND deleted_at IS NULL`, name, stamp(t.now), instanceID)
	return err
}

// releasePortsOf ends the ports made for an instance that is gone, sets their
// addresses free, and detaches the other ports.
func (t *tx) releasePortsOf(instanceID string) error {
	at := stamp(t.now)
	_, err := t.exec(`
		UPDATE port_fixed_ip
		SET released_at = ?
		WHERE port_id IN (SELECT id FROM port WHERE instance_id = ? AND delete_with_instance = 1 AND deleted_at IS NULL)
		  AND released_at IS NULL`, at, instanceID)
	if err != nil {
		return err
	}
	_, err = t.exec(`
		UPDATE port
		SET deleted_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE instance_id = ?
		  AND delete_with_instance = 1
		  AND deleted_at IS NULL`, at, at, instanceID)
	if err != nil {
		return err
	}
	_, err = t.exec(`
		UPDATE port
		SET instance_id = NULL,
		    updated_at = ?,
		    revision = revision + 1
		WHERE instance_id = ?
		  AND delete_with_instance = 0`, at, instanceID)
	return err
}
