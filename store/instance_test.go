package store_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lodge/cloud"
	"lodge/store"
)

func TestANewInstanceHasAllItAskedForAndAPlaceAnAddressAndAMAC(t *testing.T) {
	w := newWorld(t)
	n := w.wanted("web1")
	n.FlavorID, n.Labels, n.SSHKeys, n.UserData = "c2-m4", map[string]string{"role": "web"}, []string{"ssh-ed25519 AAAA"}, "#cloud-config"
	w.rang()
	got, err := w.CreateInstance(ctx, cloud.Caller{TenantID: w.tenant.ID}, w.now, n)
	w.must(err)
	if !w.rang() {
		t.Fatal("the bell did not ring")
	}
	want := cloud.Instance{
		Meta:     cloud.Meta{ID: n.ID, Labels: n.Labels, CreatedAt: noon, UpdatedAt: noon, Revision: 1},
		TenantID: w.tenant.ID, TenantName: "default", Name: "web1",
		FlavorID: "c2-m4", VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20,
		ImageID: w.image.ID, ImageName: "debian-12", User: "debian", SSHKeys: n.SSHKeys, UserData: n.UserData, Firmware: cloud.FirmwareUEFI,
		Generation: 1, Power: cloud.PowerOn, PowerAt: noon, HostID: hostID, State: cloud.StateRequested,
		Ports: []cloud.Port{{
			Meta:     cloud.Meta{ID: n.PortID, CreatedAt: noon, UpdatedAt: noon, Revision: 1},
			TenantID: w.tenant.ID, NetworkID: id("network"), InstanceID: n.ID, MAC: cloud.PickMAC(n.PortID, 0), Name: "web1",
			FixedIPs:           []cloud.FixedIP{{SubnetID: id("subnet"), Address: netip.MustParseAddr("10.77.0.2")}},
			DeleteWithInstance: true,
		}},
	}
	if diff := cmp.Diff(want, got, sameAddr); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(want, w.instance(n.ID), sameAddr); diff != "" {
		t.Fatal(diff)
	}
	if got := w.eventTypes(n.ID); !slices.Equal(got, []string{"instance.created"}) {
		t.Fatalf("got events %v", got)
	}
}

func TestASizeComesFromTheFlavorAndTheNumbers(t *testing.T) {
	w := newWorld(t)
	w.must(w.CreateFlavor(ctx, operator, w.now, cloud.Flavor{ID: "wide", VCPUs: 4, MemoryMiB: 1024, DiskGiB: 50}))
	for _, tc := range []struct {
		name                string
		flavor              string
		vcpus, memory, disk int
		want                string
	}{
		{"nothing asked", "", 0, 0, 0, "c1-m2 1 2048 20"},
		{"only a disk", "", 0, 0, 33, "c1-m2 1 2048 33"},
		{"a flavor", "wide", 0, 0, 0, "wide 4 1024 50"},
		{"a flavor and memory, which is of no flavor", "wide", 0, 3000, 0, " 4 3000 50"},
		{"numbers", "", 2, 4096, 0, " 2 4096 20"},
		{"numbers and a disk", "", 2, 4096, 5, " 2 4096 5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := w.wanted(strings.NewReplacer(" ", "-", ",", "").Replace(tc.name))
			n.FlavorID, n.VCPUs, n.MemoryMiB, n.DiskGiB = tc.flavor, tc.vcpus, tc.memory, tc.disk
			i, err := w.CreateInstance(ctx, operator, w.now, n)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(i.FlavorID, " ", i.VCPUs, " ", i.MemoryMiB, " ", i.DiskGiB); got != tc.want {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAnInstanceThatCannotBeIsRefusedAndLeavesNothing(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.create("taken")
	slow, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("slow"), TenantID: w.tenant.ID, Name: "slow", Source: cloud.SourceURL, URL: "https://example.org/a", Firmware: cloud.FirmwareBIOS})
	w.must(err)
	_, err = w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("broken"), TenantID: w.tenant.ID, Name: "broken", Source: cloud.SourceURL, URL: "https://example.org/b", Firmware: cloud.FirmwareBIOS})
	w.must(err)
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: id("broken"), State: cloud.ImageError, Problem: &cloud.Problem{Code: cloud.CodeChecksum, Message: "No."}}))
	alien := w.activeImage("alien", acme.ID, false)

	for _, tc := range []struct {
		name   string
		caller cloud.Caller
		ask    func(*cloud.NewInstance)
		code   cloud.Code
		field  string
	}{
		{"another tenant", cloud.Caller{TenantID: acme.ID}, func(*cloud.NewInstance) {}, cloud.CodeNotFound, ""},
		{"a tenant that is not there", operator, func(n *cloud.NewInstance) { n.TenantID = id("nobody") }, cloud.CodeNotFound, ""},
		{"a name that is taken", operator, func(n *cloud.NewInstance) { n.Name = "taken" }, cloud.CodeNameTaken, ""},
		{"an unknown flavor", operator, func(n *cloud.NewInstance) { n.FlavorID = "c9-m9" }, cloud.CodeInvalid, "flavor"},
		{"vCPUs without memory", operator, func(n *cloud.NewInstance) { n.VCPUs = 2 }, cloud.CodeInvalid, "memory_mib"},
		{"memory without vCPUs", operator, func(n *cloud.NewInstance) { n.MemoryMiB = 512 }, cloud.CodeInvalid, "vcpus"},
		{"negative vCPUs", operator, func(n *cloud.NewInstance) { n.VCPUs, n.MemoryMiB = -1, 512 }, cloud.CodeInvalid, "vcpus"},
		{"an unknown image", operator, func(n *cloud.NewInstance) { n.Image = "debian-99" }, cloud.CodeInvalid, "image"},
		{"another tenant's image", operator, func(n *cloud.NewInstance) { n.Image = alien.ID }, cloud.CodeInvalid, "image"},
		{"an image that is not ready", operator, func(n *cloud.NewInstance) { n.Image = slow.ID }, cloud.CodeImageNotReady, ""},
		{"an image that failed", operator, func(n *cloud.NewInstance) { n.Image = "broken" }, cloud.CodeImageNotReady, ""},
		{"a disk smaller than the image", operator, func(n *cloud.NewInstance) { n.DiskGiB = 2 }, cloud.CodeInvalid, "disk_gib"},
		{"more memory than the host has", operator, func(n *cloud.NewInstance) { n.VCPUs, n.MemoryMiB = 1, 65537 }, cloud.CodeCapacity, ""},
		{"more vCPUs than the host gives", operator, func(n *cloud.NewInstance) { n.VCPUs, n.MemoryMiB = 65, 512 }, cloud.CodeCapacity, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			n := w.wanted("web1")
			tc.ask(&n)
			_, err := w.CreateInstance(ctx, tc.caller, w.now, n)
			w.refused(err, tc.code)
			var e *cloud.Error
			if asError(err, &e); tc.field != "" && (len(e.Fields) != 1 || e.Fields[0].Field != tc.field) {
				t.Fatalf("got fields %+v", e.Fields)
			}
			_, err = w.Instance(ctx, operator, n.ID)
			w.refused(err, cloud.CodeNotFound)
		})
	}
	var rows int
	w.t = t
	w.must(raw(t, w.path).QueryRow(`SELECT (SELECT COUNT(*) FROM volume) + (SELECT COUNT(*) FROM port) + (SELECT COUNT(*) FROM port_fixed_ip)`).Scan(&rows))
	if rows != 3 {
		t.Fatalf("%d rows are left, want those of one instance", rows)
	}
}

func TestWithoutAnyImageTheSentenceSaysWhatToDo(t *testing.T) {
	w := emptyWorld(t, store.Options{})
	tenant, err := w.EnsureInstallation(ctx, w.now, cloud.NewTenant{ID: id(1), NetworkID: id(2), SubnetID: id(3)})
	w.must(err)
	w.tenant = tenant
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("web1"))
	w.refused(err, cloud.CodeNoImage)
	w.activeImage("debian", tenant.ID, false)
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("web1"))
	w.refused(err, cloud.CodeCapacity) // no host yet
}

func TestAnImageIsMeantByIdThenOwnNameThenPublicName(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	public := w.activeImage("alpine", w.tenant.ID, true)
	ask := func(image string) cloud.Instance {
		n := w.wanted(fmt.Sprint("web", w.made))
		n.TenantID, n.Image = acme.ID, image
		i, err := w.CreateInstance(ctx, cloud.Caller{TenantID: acme.ID}, w.now, n)
		w.must(err)
		return i
	}
	if got := ask("alpine").ImageID; got != public.ID {
		t.Fatalf("the public image was not found by name: %s", got)
	}
	own := w.activeImage("alpine", acme.ID, false)
	if got := ask("alpine").ImageID; got != own.ID {
		t.Fatalf("the own image does not come first: %s", got)
	}
	if got := ask(public.ID).ImageID; got != public.ID {
		t.Fatalf("the id does not win: %s", got)
	}
}

func TestADiskGrowsToTheImageWhenNoneWasAskedFor(t *testing.T) {
	w := newWorld(t)
	big, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("big"), TenantID: w.tenant.ID, Name: "big", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	w.must(err)
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: big.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatRaw, VirtualSize: 30<<30 + 1}}))
	n := w.wanted("web1")
	n.Image, n.VCPUs, n.MemoryMiB = "big", 1, 512
	i, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	if i.DiskGiB != 31 {
		t.Fatalf("got %d GiB", i.DiskGiB)
	}
}

func TestTwoHundredCreatesAtOnceGetDifferentAddressesAndNoneIsLost(t *testing.T) {
	w := newWorld(t)
	const n = 200
	asked := make([]cloud.NewInstance, n)
	for i := range asked {
		asked[i] = w.wanted(fmt.Sprintf("web%d", i/2)) // each name twice
	}
	made := make([]cloud.Instance, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { made[i], errs[i] = w.CreateInstance(ctx, operator, w.now, asked[i]) })
	}
	wg.Wait()
	names, addresses, macs := map[string]bool{}, map[netip.Addr]bool{}, map[string]bool{}
	for i := range n {
		if errs[i] != nil {
			w.refused(errs[i], cloud.CodeNameTaken)
			continue
		}
		names[made[i].Name] = true
		macs[made[i].Ports[0].MAC] = true
		addresses[made[i].Ports[0].FixedIPs[0].Address] = true
	}
	if len(names) != n/2 || len(addresses) != n/2 || len(macs) != n/2 {
		t.Fatalf("got %d names, %d addresses, %d MACs, want %d of each", len(names), len(addresses), len(macs), n/2)
	}
	all, _, err := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{Limit: 500})
	w.must(err)
	if len(all) != n/2 {
		t.Fatalf("%d instances are kept", len(all))
	}
}

func TestAFullSubnetIsSaidAndAnAddressComesBackWithTheTombstone(t *testing.T) {
	w := newWorldWith(t, store.Options{SubnetBits: 30})
	i := w.create("web1")
	_, err := w.CreateInstance(ctx, operator, w.now, w.wanted("web2"))
	w.refused(err, cloud.CodeAddresses)
	deleted, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("web2"))
	w.refused(err, cloud.CodeAddresses) // still on its host
	w.record(w.gone(deleted))
	if got := w.create("web1").Ports[0].FixedIPs[0].Address.String(); got != "10.77.0.2" {
		t.Fatalf("got %s", got)
	}
}

func TestATenantSeesItsOwnInstancesOnly(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	i := w.create("web1")
	for _, c := range []cloud.Caller{{TenantID: acme.ID}, {}} {
		_, err := w.Instance(ctx, c, i.ID)
		w.refused(err, cloud.CodeNotFound)
		_, err = w.UpdateInstance(ctx, c, w.now, i.ID, cloud.InstanceChange{})
		w.refused(err, cloud.CodeNotFound)
		_, err = w.PowerInstance(ctx, c, w.now, i.ID, cloud.PowerStop, true)
		w.refused(err, cloud.CodeNotFound)
		_, err = w.DeleteInstance(ctx, c, w.now, i.ID)
		w.refused(err, cloud.CodeNotFound)
		_, _, err = w.Instances(ctx, c, cloud.Filter{TenantID: w.tenant.ID}, cloud.Page{})
		w.refused(err, cloud.CodeNotFound)
	}
	items, _, err := w.Instances(ctx, cloud.Caller{TenantID: acme.ID}, cloud.Filter{}, cloud.Page{})
	w.must(err)
	if len(items) != 0 {
		t.Fatalf("acme sees %+v", items)
	}
	if got := w.instance(i.ID); got.Revision != 1 {
		t.Fatalf("the instance was changed: %+v", got)
	}
}

func TestASmallCacheGivesTheSameAnswers(t *testing.T) {
	w := newWorld(t)
	store.WithCache(w.DB, 3, 1<<20)
	var want []string
	for n := range 10 {
		want = append(want, w.create(fmt.Sprintf("web%d", n)).ID)
	}
	for range 3 {
		items, _, err := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{})
		w.must(err)
		for _, i := range items {
			if !slices.Contains(want, i.ID) || w.instance(i.ID).ID != i.ID {
				t.Fatalf("got %+v", i)
			}
		}
		if len(items) != 10 {
			t.Fatalf("got %d", len(items))
		}
	}
	if entries, bytes := store.Cached(w.DB); entries > 3 || bytes <= 0 {
		t.Fatalf("%d entries of %d bytes are cached", entries, bytes)
	}
	w.DeleteInstance(ctx, operator, w.now, want[0])
	w.record(w.gone(w.instance(want[0])))
}

func TestReadersBesideAWriterSeeWholeInstancesOnly(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := int64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := w.Instance(ctx, operator, i.ID)
				list, _, lerr := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{})
				if err != nil || lerr != nil || len(list) != 1 {
					t.Errorf("got %v, %v, %d instances", err, lerr, len(list))
					return
				}
				for _, one := range []cloud.Instance{got, list[0]} {
					whole := one.Generation == 1 || one.Name == fmt.Sprint("gen", one.Generation)
					if !whole || one.Ports[0].Name != one.Name || one.Revision < last {
						t.Errorf("after revision %d came %d: generation %d, name %s, port %s", last, one.Revision, one.Generation, one.Name, one.Ports[0].Name)
						return
					}
					last = one.Revision
				}
			}
		})
	}
	for n := range 100 {
		_, err := w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{Name: ptr(fmt.Sprint("gen", n+2))})
		w.must(err)
	}
	close(stop)
	wg.Wait()
}

func TestTheListsReadTheirIndexesOnly(t *testing.T) {
	w := newWorld(t)
	for name, query := range map[string]string{
		"of a tenant":  `SELECT id, revision, created_at FROM instance WHERE gone_at IS NULL AND tenant_id = 'x' AND (created_at, id) > (1, 'x') ORDER BY created_at, id LIMIT 5`,
		"of all":       `SELECT id, revision, created_at FROM instance WHERE gone_at IS NULL AND (created_at, id) > (1, 'x') ORDER BY created_at, id LIMIT 5`,
		"of a host":    `SELECT id, revision, 0 FROM instance WHERE host_id = 'x' AND gone_at IS NULL ORDER BY id`,
		"of due ones":  strings.ReplaceAll(store.DueQuery, "?", "'1'"),
		"of due ones.": store.DueQuery,
	} {
		var args []any
		if strings.Contains(query, "?") {
			args = []any{"x", 1}
		}
		plan := store.Plan(t, w.DB, query, args...)
		covered := strings.Contains(plan, "USING COVERING INDEX instance_by") || strings.Contains(plan, "USING INDEX instance_due")
		if !covered || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("the list %s: %s", name, plan)
		}
	}
}
