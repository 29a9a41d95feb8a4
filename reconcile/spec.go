package reconcile

import (
	"sigs.k8s.io/yaml"

	"lodge/cloud"
)

// emptyUserData is a document that asks cloud-init for nothing.
const emptyUserData = "#cloud-config\n{}\n"

// guestSpec is the definition of the instance's next start.
func guestSpec(w cloud.InstanceWish, s Seen) cloud.GuestSpec {
	g := cloud.GuestSpec{
		ID:        w.ID,
		Title:     w.Name,
		VCPUs:     w.VCPUs,
		MemoryMiB: w.MemoryMiB,
		Firmware:  w.Firmware,
		Disks: []cloud.GuestDisk{
			{Path: s.Root.Path, Format: s.Root.Format, Serial: serial(w.Root.ID), Backing: s.Image.Path, BackFmt: s.Image.Format},
			{Path: s.Seed.Path, Format: s.Seed.Format, Serial: "seed", ReadOnly: true},
		},
	}
	for _, p := range w.Ports {
		g.NICs = append(g.NICs, cloud.GuestNIC{MAC: p.MAC, NetworkID: p.NetworkID})
	}
	return g
}

// serial is what the guest sees of a volume's id: virtio-blk has room for 20
// characters.
func serial(volumeID string) string {
	if len(volumeID) > 20 {
		return volumeID[:20]
	}
	return volumeID
}

// metaData is the NoCloud meta-data document.
// https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
type metaData struct {
	InstanceID    string   `json:"instance-id"`
	LocalHostname string   `json:"local-hostname"`
	PublicKeys    []string `json:"public-keys,omitempty"`
}

func seedSpec(w cloud.InstanceWish) cloud.SeedSpec {
	meta, err := yaml.Marshal(metaData{w.ID, w.Name, w.SSHKeys})
	if err != nil {
		panic(err) // plain strings always marshal
	}
	user := w.UserData
	if user == "" {
		user = emptyUserData
	}
	return cloud.SeedSpec{ID: w.ID, MetaData: string(meta), UserData: user}
}

func diskSpec(w cloud.InstanceWish) cloud.DiskSpec {
	return cloud.DiskSpec{ID: w.Root.ID, SizeGiB: w.Root.SizeGiB, ImageID: w.Image.ID, ImageFormat: w.Image.Format}
}

// portSpecs are the fixed leases of the instance, by network.
func portSpecs(w cloud.InstanceWish) []netPort {
	var out []netPort
	for _, p := range w.Ports {
		np := netPort{network: p.NetworkID, spec: cloud.PortSpec{MAC: p.MAC, Name: p.Name}}
		if len(p.FixedIPs) > 0 {
			np.spec.Address = p.FixedIPs[0].Address
		}
		out = append(out, np)
	}
	return out
}

type netPort struct {
	network string
	spec    cloud.PortSpec
}
