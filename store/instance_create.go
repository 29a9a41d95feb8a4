package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"lodge/cloud"
)

const (
	rootSlot       = "root"
	defaultDiskGiB = cloud.DefaultDiskGiB
	gib            = 1 << 30
)

// CreateInstance writes down the wish for an instance with its root disk, port
// and address, all or nothing.
//
// Returns CodeNotFound for a tenant that the caller may not see; CodeNameTaken;
// CodeInvalid with Fields for an unknown flavor or image and for a disk smaller
// than the image; CodeNoImage when no image is named and there is no default;
// CodeImageNotReady; CodeBudget; CodeCapacity; CodeAddresses.
func (d *DB) CreateInstance(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewInstance) (cloud.Instance, error) {
	if !c.Sees(n.TenantID) {
		return cloud.Instance{}, noTenant(n.TenantID)
	}
	var k *known
	err := d.write(ctx, now, c, "instance.create", func(t *tx) (err error) {
		if k, err = t.createInstance(n); err == nil {
			t.answer = k.instance
		}
		return err
	})
	if err != nil {
		return cloud.Instance{}, err
	}
	d.cache.put(k)
	return k.instance, nil
}

func (t *tx) createInstance(n cloud.NewInstance) (*known, error) {
	if err := t.refuseUnadopted(); err != nil {
		return nil, err
	}
	if _, err := liveTenant(t, n.TenantID); err != nil {
		return nil, err
	}
	if err := t.refuseInstanceName(n.TenantID, n.Name); err != nil {
		return nil, err
	}
	if err := t.fillSize(&n); err != nil {
		return nil, err
	}
	img, err := t.pickImage(n)
	if err != nil {
		return nil, err
	}
	if n.DiskGiB, err = diskFor(n.DiskGiB, n.FlavorID != "", img); err != nil {
		return nil, err
	}
	all, err := hosts(t)
	if err != nil {
		return nil, err
	}
	if err := t.refuseBudget(n.TenantID, n.Labels); err != nil {
		return nil, err
	}
	err = t.refuseQuota(n.TenantID, cloud.Amounts{
		cloud.ResourceInstances: 1, cloud.ResourceVCPUs: int64(n.VCPUs), cloud.ResourceMemory: int64(n.MemoryMiB),
		cloud.ResourceDisk: int64(n.DiskGiB), cloud.ResourceVolumes: 1, cloud.ResourcePorts: 1,
	})
	if err != nil {
		return nil, err
	}
	hostID, err := cloud.Place(all, cloud.Need{VCPUs: n.VCPUs, MemoryMiB: n.MemoryMiB, DiskGiB: n.DiskGiB})
	if err != nil {
		return nil, err
	}
	port, err := t.pickPort(n)
	if err != nil {
		return nil, err
	}
	if err := t.insertInstance(n, img, hostID); err != nil {
		return nil, err
	}
	if err := t.insertRoot(n, img, hostID); err != nil {
		return nil, err
	}
	if err := t.insertPort(port); err != nil {
		return nil, err
	}
	t.wished = true
	err = t.event(n.TenantID, cloud.Ref{Kind: cloud.KindInstance, ID: n.ID}, n.Name, "instance.created",
		fmt.Sprintf("The instance %s was asked for: %d vCPU, %d MiB memory, %d GiB disk, image %s.", n.Name, n.VCPUs, n.MemoryMiB, n.DiskGiB, img.Name), nil)
	if err != nil {
		return nil, err
	}
	k, err := t.instance(n.ID)
	if err != nil {
		return nil, err
	}
	if err := t.firstFact(instanceFact(k.instance)); err != nil {
		return nil, err
	}
	return k, t.beginOperation(cloud.InstanceOperation(cloud.OperationInstanceCreate, cloud.Instance{}, k.instance))
}

// instance reads an instance inside the transaction, as it will be committed.
func (t *tx) instance(id string) (*known, error) {
	found, err := fetchInstances(t, []string{id})
	if err == nil && found[id] == nil {
		err = noInstance(id)
	}
	return found[id], err
}

func (t *tx) refuseInstanceName(tenantID, name string) error {
	taken, err := exists(t, `
		SELECT 1
		FROM instance
		WHERE tenant_id = ?
		  AND name = ?
		  AND deleted_at IS NULL`, tenantID, name)
	if err == nil && taken {
		err = cloud.Errorf(cloud.CodeNameTaken, "There is an instance named %q already; choose another name or delete that one first.", name)
	}
	return err
}

// fillSize puts the flavor's values where the request has none. A request
// without any size gets the default flavor.
func (t *tx) fillSize(n *cloud.NewInstance) error {
	if n.FlavorID == "" && n.VCPUs == 0 && n.MemoryMiB == 0 {
		n.FlavorID = cloud.DefaultFlavorID
	}
	if n.FlavorID != "" {
		f, found, err := flavor(t, n.FlavorID)
		if err != nil {
			return err
		}
		if !found {
			return invalid("flavor", "There is no flavor %q; list the flavors to see them, or give vcpus and memory_mib.", n.FlavorID)
		}
		n.VCPUs = or(n.VCPUs, f.VCPUs)
		n.MemoryMiB = or(n.MemoryMiB, f.MemoryMiB)
		n.DiskGiB = or(n.DiskGiB, f.DiskGiB)
		if n.VCPUs != f.VCPUs || n.MemoryMiB != f.MemoryMiB {
			n.FlavorID = "" // it began as one and is none: it is not billed as one
		}
	}
	if n.VCPUs <= 0 {
		return invalid("vcpus", "The number of vCPUs is missing; give vcpus, or a flavor.")
	}
	if n.MemoryMiB <= 0 {
		return invalid("memory_mib", "The memory is missing; give memory_mib, or a flavor.")
	}
	return nil
}

func or[T int | float64](v, otherwise T) T {
	if v != 0 {
		return v
	}
	return otherwise
}

// invalid is CodeInvalid about one field.
func invalid(field, format string, args ...any) error {
	e := cloud.Errorf(cloud.CodeInvalid, format, args...)
	e.Fields = []cloud.FieldError{{Field: field, Message: e.Message}}
	return e
}

// diskFor is the size of a root disk in GiB. A disk that nobody asked for grows
// to what the image needs; one that was asked for must hold it.
func diskFor(asked int, fromFlavor bool, img cloud.Image) (int, error) {
	need := int((img.VirtualSize + gib - 1) / gib)
	if asked == 0 {
		return max(defaultDiskGiB, need), nil
	}
	if asked >= need {
		return asked, nil
	}
	if fromFlavor {
		return 0, invalid("disk_gib", "The image %s needs a disk of at least %d GiB and the size has %d; ask for disk_gib %d or a larger flavor.", img.Name, need, asked, need)
	}
	return 0, invalid("disk_gib", "The image %s needs a disk of at least %d GiB and %d were asked for; ask for more.", img.Name, need, asked)
}

// pickImage finds the image that the request means and refuses one that cannot
// be started from.
func (t *tx) pickImage(n cloud.NewInstance) (cloud.Image, error) {
	img, err := t.namedOrDefaultImage(n)
	if err != nil {
		return img, err
	}
	switch img.State {
	case cloud.ImageActive:
		if img.Problem.Is(cloud.CodeDiskMissing) {
			return img, cloud.Errorf(cloud.CodeImageNotReady, "The file of the image %s is gone from the host; name another image, or ask the operator to put it back.", img.Name)
		}
		return img, nil
	case cloud.ImageError:
		return img, cloud.Errorf(cloud.CodeImageNotReady, "The image %s could not be imported; name another image, or import it anew.", img.Name)
	}
	return img, cloud.Errorf(cloud.CodeImageNotReady, "The image %s is still being imported; try again when it is active.", img.Name)
}

func (t *tx) namedOrDefaultImage(n cloud.NewInstance) (cloud.Image, error) {
	if n.Image != "" {
		img, found, err := findImage(t, n.Image, n.TenantID)
		if err == nil && !found {
			err = invalid("image", "There is no image %q; list the images to see the ones you may use.", n.Image)
		}
		return img, err
	}
	img, found, err := defaultImage(t, n.TenantID)
	if err == nil && !found {
		err = cloud.Errorf(cloud.CodeNoImage, "No image was named and none is the default; name one, import one, or make one the default.")
	}
	return img, err
}

// pickPort chooses the network, address and MAC of a new instance's only port.
func (t *tx) pickPort(n cloud.NewInstance) (cloud.Port, error) {
	var subnetID, cidr string
	p := cloud.Port{
		Meta:               cloud.Meta{ID: n.PortID},
		TenantID:           n.TenantID,
		InstanceID:         n.ID,
		Name:               n.Name,
		DeleteWithInstance: true,
	}
	err := t.row(`
		SELECT
		  n.id,
		  s.id,
		  s.cidr
		FROM network n
		JOIN subnet s ON s.network_id = n.id
		WHERE n.tenant_id = +?
		  AND n.is_default = 1
		  AND n.deleted_at IS NULL
		ORDER BY s.created_at, s.id
		LIMIT 1`, n.TenantID).Scan(&p.NetworkID, &subnetID, &cidr)
	if err == sql.ErrNoRows {
		return p, cloud.Errorf(cloud.CodeConflict, "The tenant has no default network with a subnet; make one first.")
	}
	if err != nil {
		return p, err
	}
	address, err := t.pickAddress(subnetID, cidr)
	if err != nil {
		return p, err
	}
	p.FixedIPs = []cloud.FixedIP{{SubnetID: subnetID, Address: address}}
	p.MAC, err = t.pickMAC(n.PortID)
	return p, err
}

func (t *tx) pickAddress(subnetID, cidr string) (netip.Addr, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return netip.Addr{}, err
	}
	// A guest that the database does not know has its address all the same.
	rows, err := t.rows(`
		SELECT address
		FROM port_fixed_ip
		WHERE subnet_id = ?
		  AND released_at IS NULL
		UNION
		SELECT o.address
		FROM orphan o
		JOIN subnet s ON s.network_id = o.network_id
		WHERE s.id = ?
		  AND o.kind = 'port'
		  AND o.address <> ''`, subnetID, subnetID)
	if err != nil {
		return netip.Addr{}, err
	}
	defer rows.Close()
	taken := make(map[netip.Addr]bool)
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return netip.Addr{}, err
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Addr{}, err
		}
		taken[a] = true
	}
	if err := rows.Err(); err != nil {
		return netip.Addr{}, err
	}
	a, ok := cloud.PickAddress(prefix, taken)
	if !ok {
		return a, cloud.Errorf(cloud.CodeAddresses, "All addresses of the network's subnet %s are in use; delete an instance that is not needed.", cidr)
	}
	return a, nil
}

func (t *tx) pickMAC(portID string) (string, error) {
	for attempt := 0; ; attempt++ {
		mac := cloud.PickMAC(portID, attempt)
		taken, err := exists(t, `SELECT 1 FROM port WHERE mac = ? AND deleted_at IS NULL`, mac)
		if err != nil || !taken {
			return mac, err
		}
		if attempt == 100 {
			return "", fmt.Errorf("no free MAC for port %s after %d attempts", portID, attempt)
		}
	}
}

func (t *tx) insertInstance(n cloud.NewInstance, img cloud.Image, hostID string) error {
	power := cloud.PowerOn
	if n.Stopped {
		power = cloud.PowerOff
	}
	at := stamp(t.now)
	_, err := t.exec(`
		INSERT INTO instance (
		  id,
		  tenant_id,
		  name,
		  labels,
		  created_at,
		  updated_at,
		  host_id,
		  flavor_id,
		  vcpus,
		  memory_mib,
		  disk_gib,
		  image_id,
		  ssh_keys,
		  user_data,
		  firmware,
		  protected,
		  power,
		  power_at,
		  wished_at,
		  state
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		n.ID,
		n.TenantID,
		n.Name,
		asJSON(n.Labels),
		at,
		at,
		hostID,
		n.FlavorID,
		n.VCPUs,
		n.MemoryMiB,
		n.DiskGiB,
		img.ID,
		asJSON(n.SSHKeys),
		n.UserData,
		string(img.Firmware),
		n.Protected,
		string(power),
		at,
		at,
		string(cloud.StateRequested),
	)
	return err
}
