package store

import (
	"database/sql"
	"net/netip"

	"lodge/cloud"
)

// instanceQuery reads instances with everything that is shown of them, one row
// for each address: all of one snapshot, so that a revision and what belongs to
// it are never of two.
const instanceQuery = `
		SELECT
		  i.id,
		  i.tenant_id,
		  t.name,
		  i.name,
		  i.labels,
		  i.created_at,
		  i.updated_at,
		  i.revision,
		  i.host_id,
		  i.flavor_id,
		  i.vcpus,
		  i.memory_mib,
		  i.disk_gib,
		  i.image_id,
		  m.name,
		  m.login,
		  i.ssh_keys,
		  i.user_data,
		  i.firmware,
		  i.generation,
		  i.power,
		  i.power_force,
		  i.power_at,
		  i.boots,
		  i.wished_at,
		  i.deleted_at,
		  i.protected,
		  i.stopped_by,
		  i.stopped_by_id,
		  i.state,
		  i.task,
		  i.problem_code,
		  i.problem_message,
		  i.problem_since,
		  i.problem_retry_at,
		  i.problem_attempts,
		  i.problem_of_host,
		  i.decided_generation,
		  i.observed_generation,
		  i.observed_boots,
		  i.running_vcpus,
		  i.running_memory_mib,
		  i.started_at,
		  v.id,
		  v.name,
		  v.labels,
		  v.created_at,
		  v.updated_at,
		  v.revision,
		  v.host_id,
		  v.size_gib,
		  v.image_id,
		  v.deleted_at,
		  v.state,
		  p.id,
		  p.network_id,
		  p.slot,
		  p.mac,
		  p.name,
		  p.labels,
		  p.delete_with_instance,
		  p.created_at,
		  p.updated_at,
		  p.revision,
		  f.subnet_id,
		  f.address
		FROM instance i
		JOIN tenant t ON t.id = i.tenant_id
		JOIN image m ON m.id = i.image_id
		JOIN attachment a ON a.instance_id = i.id AND a.slot = 'root'
		JOIN volume v ON v.id = a.volume_id
		LEFT JOIN port p ON p.instance_id = i.id AND p.deleted_at IS NULL
		LEFT JOIN port_fixed_ip f ON f.port_id = p.id AND f.released_at IS NULL`

// fetchInstances reads the instances with the ids that are not gone.
func fetchInstances(s source, ids []string) (map[string]*known, error) {
	out := make(map[string]*known, len(ids))
	for from := 0; from < len(ids); from += chunk {
		in, args := marks(ids[from:min(from+chunk, len(ids))])
		err := readInstances(s, out, instanceQuery+`
		WHERE i.id IN (`+in+`)
		  AND i.gone_at IS NULL
		ORDER BY i.id, p.slot, p.id, f.address`, args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readInstances(s source, out map[string]*known, query string, args ...any) error {
	rows, err := s.rows(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r instanceRow
		if err := r.scan(rows.Rows); err != nil {
			return err
		}
		k := out[r.instance.ID]
		if k == nil {
			if k, err = r.known(); err != nil {
				return err
			}
			out[k.instance.ID] = k
		}
		if err := r.addPort(&k.instance); err != nil {
			return err
		}
	}
	return rows.Err()
}

// instanceRow is one row of instanceQuery while it is read.
type instanceRow struct {
	instance cloud.Instance
	meta     metaColumns
	sshKeys  string
	power    sql.NullInt64
	wished   sql.NullInt64
	deleted  sql.NullInt64
	problem  problemColumns
	ofHost   bool
	decided  int64
	started  sql.NullInt64

	root        cloud.Volume
	rootMeta    metaColumns
	rootImage   sql.NullString
	rootDeleted sql.NullInt64

	portID, network, mac, portName, portLabels sql.NullString
	portSlot, portRevision                     sql.NullInt64
	portCreated, portUpdated                   sql.NullInt64
	portGoes                                   sql.NullBool
	subnet, address                            sql.NullString
}

func (r *instanceRow) scan(rows *sql.Rows) error {
	i, v := &r.instance, &r.root
	return rows.Scan(
		&i.ID,
		&i.TenantID,
		&i.TenantName,
		&i.Name,
		&r.meta.labels,
		&r.meta.createdAt,
		&r.meta.updated,
		&i.Revision,
		&i.HostID,
		&i.FlavorID,
		&i.VCPUs,
		&i.MemoryMiB,
		&i.DiskGiB,
		&i.ImageID,
		&i.ImageName,
		&i.User,
		&r.sshKeys,
		&i.UserData,
		&i.Firmware,
		&i.Generation,
		&i.Power,
		&i.PowerForce,
		&r.power,
		&i.Boots,
		&r.wished,
		&r.deleted,
		&i.Protected,
		&i.StoppedBy.Kind,
		&i.StoppedBy.ID,
		&i.State,
		&i.Task,
		&r.problem.code,
		&r.problem.message,
		&r.problem.since,
		&r.problem.retryAt,
		&r.problem.attempts,
		&r.ofHost,
		&r.decided,
		&i.ObservedGeneration,
		&i.ObservedBoots,
		&i.RunningVCPUs,
		&i.RunningMemoryMiB,
		&r.started,
		&v.ID,
		&v.Name,
		&r.rootMeta.labels,
		&r.rootMeta.createdAt,
		&r.rootMeta.updated,
		&v.Revision,
		&v.HostID,
		&v.SizeGiB,
		&r.rootImage,
		&r.rootDeleted,
		&v.State,
		&r.portID,
		&r.network,
		&r.portSlot,
		&r.mac,
		&r.portName,
		&r.portLabels,
		&r.portGoes,
		&r.portCreated,
		&r.portUpdated,
		&r.portRevision,
		&r.subnet,
		&r.address,
	)
}

// known decodes all of the row but the port.
func (r *instanceRow) known() (*known, error) {
	k := &known{instance: r.instance, root: r.root}
	i, v, s := &k.instance, &k.root, &k.seen
	if err := r.meta.into(&i.Meta); err != nil {
		return nil, err
	}
	var err error
	if i.SSHKeys, err = fromJSON[[]string](r.sshKeys); err != nil {
		return nil, err
	}
	i.PowerAt, i.DeletedAt, i.StartedAt = moment(r.power), moment(r.deleted), moment(r.started)
	i.Problem = r.problem.problem()
	*s = seen{
		tenantID:      i.TenantID,
		name:          i.Name,
		power:         i.Power,
		generation:    i.Generation,
		deleted:       r.deleted.Valid,
		rootRequested: v.State == cloud.VolumeRequested,
		state:         i.State,
		task:          i.Task,
		problem:       r.problem.problem(),
		ofHost:        r.ofHost,
		decided:       r.decided,
		observed:      i.ObservedGeneration,
		boots:         i.ObservedBoots,
		vcpus:         i.RunningVCPUs,
		memoryMiB:     i.RunningMemoryMiB,
		startedAt:     i.StartedAt,
	}
	if i.Problem != nil && i.Generation > r.decided {
		// Nobody has tried the newest wish yet: it does not wait for the old one.
		i.Problem.RetryAt = moment(r.wished)
	}
	v.TenantID, v.ImageID, v.DeletedAt = i.TenantID, r.rootImage.String, moment(r.rootDeleted)
	return k, r.rootMeta.into(&v.Meta)
}

// addPort adds the row's port, or one more address of the port before.
func (r *instanceRow) addPort(i *cloud.Instance) error {
	if !r.portID.Valid {
		return nil
	}
	n := len(i.Ports)
	if n == 0 || i.Ports[n-1].ID != r.portID.String {
		p := cloud.Port{
			Meta:               cloud.Meta{ID: r.portID.String, Revision: r.portRevision.Int64},
			TenantID:           i.TenantID,
			NetworkID:          r.network.String,
			InstanceID:         i.ID,
			Slot:               int(r.portSlot.Int64),
			MAC:                r.mac.String,
			Name:               r.portName.String,
			DeleteWithInstance: r.portGoes.Bool,
		}
		meta := metaColumns{labels: r.portLabels.String, createdAt: r.portCreated, updated: r.portUpdated}
		if err := meta.into(&p.Meta); err != nil {
			return err
		}
		i.Ports = append(i.Ports, p)
		n++
	}
	if !r.address.Valid {
		return nil
	}
	a, err := netip.ParseAddr(r.address.String)
	if err != nil {
		return err
	}
	p := &i.Ports[n-1]
	p.FixedIPs = append(p.FixedIPs, cloud.FixedIP{SubnetID: r.subnet.String, Address: a})
	return nil
}
