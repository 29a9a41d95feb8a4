package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// raw makes guests with the libvirt calls that lodge makes, and nothing else:
// overlay, define, start. No seed, no fixed lease: those are files to lodge. The definition is copied from a guest of
// lodge, so both start the same machine.
type raw struct {
	conn     *libvirt.Connect
	pool     *libvirt.StoragePool
	template libvirtxml.Domain
	backing  string
	format   string
	n        atomic.Int64
	machine  time.Duration // CPU time of the machine in the last burst
}

type rawGuest struct {
	name, mac, vol string
}

func newRaw(instanceID string) (*raw, error) {
	conn, err := libvirt.NewConnect("qemu:///system")
	if err != nil {
		return nil, err
	}
	r := &raw{conn: conn}
	dom, err := conn.LookupDomainByUUIDString(instanceID)
	if err != nil {
		return nil, err
	}
	defer dom.Free()
	xml, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	if err != nil {
		return nil, err
	}
	if err := r.template.Unmarshal(xml); err != nil {
		return nil, err
	}
	root := r.template.Devices.Disks[0]
	vol, err := conn.LookupStorageVolByPath(root.Source.File.File)
	if err != nil {
		return nil, err
	}
	defer vol.Free()
	if r.pool, err = vol.LookupPoolByVolume(); err != nil {
		return nil, err
	}
	volXML, err := vol.GetXMLDesc(0)
	if err != nil {
		return nil, err
	}
	var v libvirtxml.StorageVolume
	if err := v.Unmarshal(volXML); err != nil {
		return nil, err
	}
	r.backing, r.format = v.BackingStore.Path, v.BackingStore.Format.Type
	return r, nil
}

// make is one guest, from nothing to running.
func (r *raw) make() (rawGuest, error) {
	n := r.n.Add(1)
	g := rawGuest{
		name: fmt.Sprintf("raw-%d", n),
		mac:  fmt.Sprintf("52:54:01:00:%02x:%02x", n>>8, n&0xff),
		vol:  fmt.Sprintf("raw-%d.qcow2", n),
	}
	volume := libvirtxml.StorageVolume{
		Name:         g.vol,
		Capacity:     &libvirtxml.StorageVolumeSize{Unit: "GiB", Value: 1},
		Target:       &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"}},
		BackingStore: &libvirtxml.StorageVolumeBackingStore{Path: r.backing, Format: &libvirtxml.StorageVolumeTargetFormat{Type: r.format}},
	}
	xml, err := volume.Marshal()
	if err != nil {
		return g, err
	}
	vol, err := r.pool.StorageVolCreateXML(xml, 0)
	if err != nil {
		return g, err
	}
	defer vol.Free()
	path, err := vol.GetPath()
	if err != nil {
		return g, err
	}
	d := r.template
	devices := *r.template.Devices
	d.Devices = &devices
	d.Name, d.UUID, d.Title, d.Metadata = g.name, uuid.NewString(), "", nil
	disks := append([]libvirtxml.DomainDisk(nil), devices.Disks...)
	disks[0].Source = &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
	devices.Disks = disks
	nics := append([]libvirtxml.DomainInterface(nil), devices.Interfaces...)
	nics[0].MAC = &libvirtxml.DomainInterfaceMAC{Address: g.mac}
	devices.Interfaces = nics
	if len(devices.Serials) > 0 && devices.Serials[0].Log != nil {
		serials := append([]libvirtxml.DomainSerial(nil), devices.Serials...)
		log := *serials[0].Log
		log.File = filepath.Join(filepath.Dir(log.File), g.name+".log")
		serials[0].Log = &log
		devices.Serials = serials
		for i := range devices.Consoles {
			devices.Consoles[i].Log = nil
		}
	}
	if xml, err = d.Marshal(); err != nil {
		return g, err
	}
	dom, err := r.conn.DomainDefineXML(xml)
	if err != nil {
		return g, err
	}
	defer dom.Free()
	return g, dom.Create()
}

func (r *raw) remove(g rawGuest) error {
	var errs []error
	if dom, err := r.conn.LookupDomainByName(g.name); err == nil {
		errs = append(errs, dom.Destroy(), dom.UndefineFlags(libvirt.DOMAIN_UNDEFINE_NVRAM), dom.Free())
	}
	if vol, err := r.pool.LookupStorageVolByName(g.vol); err == nil {
		errs = append(errs, vol.Delete(0), vol.Free())
	}
	return errors.Join(errs...)
}

// create compares one instance at a time, in turns with the raw calls.
func (b *bench) create() error {
	d, err := b.daemon("create")
	if err != nil {
		return err
	}
	defer d.stop()
	r, err := d.raw()
	if err != nil {
		return err
	}
	const rounds = 21
	var ours, theirs []time.Duration
	for i := range rounds {
		start := time.Now()
		var inst instance
		if err := d.call("POST", "/v1/instances", small(fmt.Sprintf("one%d", i)), &inst); err != nil {
			return err
		}
		if err := d.until(inst.ID, "running"); err != nil {
			return err
		}
		took := time.Since(start)
		if err := d.delete(inst.ID); err != nil {
			return err
		}

		start = time.Now()
		g, err := r.make()
		if err != nil {
			return err
		}
		rawTook := time.Since(start)
		if err := r.remove(g); err != nil {
			return err
		}
		if i == 0 {
			continue // both are warm from here on
		}
		ours, theirs = append(ours, took), append(theirs, rawTook)
	}
	ratio := float64(median(ours)) / float64(median(theirs))
	fmt.Printf("%-58s %s\n", "raw libvirt calls, one guest", spread(theirs))
	fmt.Printf("%-58s %s\n", "POST to running, one instance", spread(ours))
	line("ratio of the medians", fmt.Sprintf("%.2fx", ratio), "<= 1.10x", ratio <= 1.10)
	return nil
}

// raw makes one guest through lodge and keeps it as the template.
func (d *daemon) raw() (*raw, error) {
	if err := d.haltImage(); err != nil {
		return nil, err
	}
	var first instance
	if err := d.call("POST", "/v1/instances", small("template"), &first); err != nil {
		return nil, err
	}
	if err := d.until(first.ID, "running"); err != nil {
		return nil, err
	}
	return newRaw(first.ID)
}

func (d *daemon) delete(ids ...string) error {
	for _, id := range ids {
		if err := d.call("DELETE", "/v1/instances/"+id, nil, nil); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := d.until(id, "gone"); err != nil {
			return err
		}
	}
	return nil
}

// burst compares 100 at once with the raw calls at their best parallelism: that
// is sought first, then both take turns.
func (b *bench) burst() error {
	const n = 100
	d, err := b.daemon("burst")
	if err != nil {
		return err
	}
	defer d.stop()
	r, err := d.raw()
	if err != nil {
		return err
	}
	width, floor := 0, time.Duration(0)
	for _, w := range []int{2, 3, 4, 6} {
		took, err := r.burst(n, w)
		if err != nil {
			return err
		}
		fmt.Printf("%-58s %18s\n", fmt.Sprintf("raw libvirt calls, %d guests, %d at a time, once", n, w), took.Round(time.Millisecond))
		if width == 0 || took < floor {
			width, floor = w, took
		}
	}
	var theirs, ours, theirCPU, ourCPU []time.Duration
	lodge := func() error {
		took, err := d.burst(n)
		ours, ourCPU = append(ours, took), append(ourCPU, d.machine)
		return err
	}
	calls := func() error {
		took, err := r.burst(n, width)
		theirs, theirCPU = append(theirs, took), append(theirCPU, r.machine)
		return err
	}
	for i := range b.rounds {
		turns := []func() error{lodge, calls}
		if i%2 == 1 {
			slices.Reverse(turns) // what the machine does to the later one it does to both
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%-58s %s\n", fmt.Sprintf("raw libvirt calls, %d guests, %d at a time", n, width), spread(theirs))
	fmt.Printf("%-58s %s\n", "  CPU of the whole machine for that", spread(theirCPU))
	fmt.Printf("%-58s %s\n", fmt.Sprintf("%d POSTs to all running", n), spread(ours))
	fmt.Printf("%-58s %s\n", "  CPU of the whole machine for that", spread(ourCPU))
	fmt.Printf("%-58s %s\n", "  CPU of lodged for that", spread(d.used))
	ratio := float64(median(ours)) / float64(median(theirs))
	line("ratio of the medians", fmt.Sprintf("%.2fx", ratio), "<= 1.05x", ratio <= 1.05)
	return nil
}

func (r *raw) burst(n, width int) (time.Duration, error) {
	if err := warmMemory(); err != nil {
		return 0, err
	}
	guests := make([]rawGuest, n)
	start, used := time.Now(), machineCPU()
	err := parallel(n, width, func(i int) (err error) { guests[i], err = r.make(); return err })
	took := time.Since(start)
	r.machine = machineCPU() - used
	if err != nil {
		return 0, err
	}
	return took, parallel(n, 8, func(i int) error { return r.remove(guests[i]) })
}

func parallel(n, width int, f func(int) error) error {
	var next atomic.Int64
	errs := make([]error, width)
	var wg sync.WaitGroup
	for w := range width {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *daemon) burst(n int) (time.Duration, error) {
	if err := warmMemory(); err != nil {
		return 0, err
	}
	before, err := d.cpu()
	if err != nil {
		return 0, err
	}
	prefix := "b" + strings.ToLower(uuid.NewString()[:6])
	ids := make([]string, n)
	start, used := time.Now(), machineCPU()
	err = parallel(n, 8, func(i int) error {
		var inst instance
		err := d.call("POST", "/v1/instances", small(fmt.Sprintf("%s-%d", prefix, i)), &inst)
		ids[i] = inst.ID
		return err
	})
	if err != nil {
		return 0, err
	}
	// A quarter of a second is little beside the figure, and the polling shares two
	// cores with it.
	for left := n; left > 0; time.Sleep(250 * time.Millisecond) {
		var list struct{ Items []instance }
		if err := d.call("GET", "/v1/instances?limit=500", nil, &list); err != nil {
			return 0, err
		}
		left = 0
		for _, i := range list.Items {
			if i.State != "running" {
				left++
			}
		}
	}
	took := time.Since(start)
	d.machine = machineCPU() - used
	cpu, err := d.cpu()
	if err != nil {
		return 0, err
	}
	d.used = append(d.used, cpu-before)
	return took, d.delete(ids...)
}
