package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"lodge/cloud"
)

func (w *world) limit(r cloud.Resource, most int64) {
	w.t.Helper()
	w.must(w.SetQuotas(ctx, operator, w.now, w.tenant.ID, map[cloud.Resource]*int64{r: &most}))
}

func (w *world) quota(tenantID string, r cloud.Resource) cloud.Quota {
	w.t.Helper()
	all, err := w.Quotas(ctx, operator, w.now, tenantID)
	w.must(err)
	for _, q := range all {
		if q.Resource == r {
			return q
		}
	}
	w.t.Fatalf("no quota of %s", r)
	return cloud.Quota{}
}

// rush asks for 200 instances at once and counts who got one; the others must
// have got the code.
func (w *world) rush(code cloud.Code) int64 {
	w.t.Helper()
	var made atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		n := w.wanted(fmt.Sprintf("rush%d", i))
		n.VCPUs, n.MemoryMiB, n.DiskGiB = 2, 1024, 10
		wg.Go(func() {
			_, err := w.CreateInstance(ctx, operator, w.now, n)
			switch {
			case err == nil:
				made.Add(1)
			case cloud.CodeOf(err) != code:
				w.t.Errorf("refused with %v", err)
			}
		})
	}
	wg.Wait()
	return made.Load()
}

func TestTwoHundredAtOnceGetNoMoreThanTheQuota(t *testing.T) {
	for r, most := range map[cloud.Resource]int64{
		cloud.ResourceInstances: 10, cloud.ResourceVCPUs: 21, cloud.ResourceMemory: 10 * 1024, cloud.ResourceDisk: 109,
		cloud.ResourceVolumes: 10, cloud.ResourcePorts: 10,
	} {
		t.Run(string(r), func(t *testing.T) {
			w := newWorld(t)
			w.limit(r, most)
			if made := w.rush(cloud.CodeQuota); made != 10 {
				t.Errorf("%d were made, and there was room for 10", made)
			}
		})
	}
}

func TestTwoHundredAtOnceGetNoMoreThanTheHostHas(t *testing.T) {
	for name, h := range map[string]cloud.Host{
		"memory": {VCPUs: 8, MemoryMiB: 10*1024 + 512, VCPURatio: 64, ReservedMiB: 512},
		"shared": {VCPUs: 8, MemoryMiB: 5 * 1024, VCPURatio: 64, MemoryRatio: 2},
		"vcpus":  {VCPUs: 10, MemoryMiB: 1 << 20, VCPURatio: 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h.ID, h.Name, h.Accel, h.StartedAt = hostID, "rack1", "kvm", w.now
			w.must(w.RegisterHost(ctx, w.now, h))
			if made := w.rush(cloud.CodeCapacity); made != 10 {
				t.Errorf("%d were made, and there was room for 10", made)
			}
		})
	}
}

func TestAQuotaSaysWhatStandsInTheWay(t *testing.T) {
	w := newWorld(t)
	w.limit(cloud.ResourceVCPUs, 1)
	w.create("web1") // 1 vCPU
	_, err := w.CreateInstance(ctx, operator, w.now, w.wanted("web2"))
	w.refused(err, cloud.CodeQuota)
	want := cloud.QuotaExcess{Resource: cloud.ResourceVCPUs, Limit: 1, Used: 1, Asked: 1}
	if e, ok := err.(*cloud.Error); !ok || e.Quota == nil || *e.Quota != want {
		t.Errorf("got %+v", err)
	}
}

func TestQuotasComeFromTheTenantElseFromTheInstallation(t *testing.T) {
	w := newWorld(t)
	r := cloud.ResourceInstances
	if q := w.quota(w.tenant.ID, r); q.Limit != -1 || !q.Default {
		t.Errorf("at first %+v", q)
	}
	five, one := int64(5), int64(1)
	w.must(w.SetQuotas(ctx, operator, w.now, "", map[cloud.Resource]*int64{r: &five}))
	if q := w.quota(w.tenant.ID, r); q.Limit != 5 || !q.Default {
		t.Errorf("with a default %+v", q)
	}
	w.limit(r, one)
	in := w.create("web1")
	if q := w.quota(w.tenant.ID, r); q != (cloud.Quota{Resource: r, Limit: 1, Used: 1}) {
		t.Errorf("with an own one %+v", q)
	}
	_, err := w.CreateInstance(ctx, operator, w.now, w.wanted("web2"))
	w.refused(err, cloud.CodeQuota)

	// What is being deleted counts until it is gone.
	_, err = w.DeleteInstance(ctx, operator, w.now, in.ID)
	w.must(err)
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("web2"))
	w.refused(err, cloud.CodeQuota)
	w.record(w.gone(w.instance(in.ID)))
	w.create("web2")

	w.must(w.SetQuotas(ctx, operator, w.now, w.tenant.ID, map[cloud.Resource]*int64{r: nil}))
	if q := w.quota(w.tenant.ID, r); q.Limit != 5 || !q.Default {
		t.Errorf("with the own one taken away %+v", q)
	}
}

func TestAResizeNeedsRoomToo(t *testing.T) {
	w := newWorld(t)
	in := w.create("web1") // 2 GiB
	w.limit(cloud.ResourceMemory, 4096)
	more, less := 8192, 512
	_, err := w.UpdateInstance(ctx, operator, w.now, in.ID, cloud.InstanceChange{MemoryMiB: &more})
	w.refused(err, cloud.CodeQuota)
	w.limit(cloud.ResourceMemory, 100) // it has more already: it may stay, and shrink
	_, err = w.UpdateInstance(ctx, operator, w.now, in.ID, cloud.InstanceChange{MemoryMiB: &less})
	w.must(err)

	w.must(w.SetQuotas(ctx, operator, w.now, w.tenant.ID, map[cloud.Resource]*int64{cloud.ResourceMemory: nil}))
	w.must(w.RegisterHost(ctx, w.now, cloud.Host{Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 8, MemoryMiB: 4096, Accel: "kvm", StartedAt: w.now}))
	w.create("web2") // 2 GiB beside 512 MiB
	most, over := 2048, 2049
	_, err = w.UpdateInstance(ctx, operator, w.now, in.ID, cloud.InstanceChange{MemoryMiB: &over})
	w.refused(err, cloud.CodeCapacity)
	_, err = w.UpdateInstance(ctx, operator, w.now, in.ID, cloud.InstanceChange{MemoryMiB: &most})
	w.must(err)
}

// The sums that the triggers keep are those of the rows, whatever happens.
func TestWhatAHostHasPromisedIsTheSumOfItsInstances(t *testing.T) {
	w := newWorld(t)
	check := func(step string, instances, vcpus, memory int) {
		t.Helper()
		all, err := w.Hosts(ctx, operator)
		w.must(err)
		if got, want := all[0].Used, (cloud.HostUse{Instances: instances, VCPUs: vcpus, MemoryMiB: memory}); got != want {
			t.Errorf("%s: %+v, want %+v", step, got, want)
		}
	}
	check("empty", 0, 0, 0)
	a := w.run("a")
	w.create("b")
	check("two", 2, 2, 4096)
	less := 1024
	_, err := w.UpdateInstance(ctx, operator, w.now, a.ID, cloud.InstanceChange{MemoryMiB: &less})
	w.must(err)
	check("a pending change counts as it runs", 2, 2, 4096)
	w.record(w.stopped(w.instance(a.ID)))
	check("off, it counts as it is wanted", 2, 2, 3072)
	_, err = w.DeleteInstance(ctx, operator, w.now, a.ID)
	w.must(err)
	check("until it is gone", 2, 2, 3072)
	w.record(w.gone(w.instance(a.ID)))
	check("gone", 1, 1, 2048)
}

func TestQuotasAreSetByOperatorsAndSeenByTheTenant(t *testing.T) {
	w := newWorld(t)
	one, below := int64(1), int64(-1)
	mine := cloud.Caller{TenantID: w.tenant.ID, Role: cloud.RoleAdmin}
	w.refused(w.SetQuotas(ctx, mine, w.now, w.tenant.ID, map[cloud.Resource]*int64{cloud.ResourceVCPUs: &one}), cloud.CodeForbidden)
	w.refused(w.SetQuotas(ctx, operator, w.now, w.tenant.ID, map[cloud.Resource]*int64{"cats": &one}), cloud.CodeInvalid)
	w.refused(w.SetQuotas(ctx, operator, w.now, w.tenant.ID, map[cloud.Resource]*int64{cloud.ResourceVCPUs: &below}), cloud.CodeInvalid)
	w.refused(w.SetQuotas(ctx, operator, w.now, id("nobody"), map[cloud.Resource]*int64{cloud.ResourceVCPUs: &one}), cloud.CodeNotFound)
	if all, err := w.Quotas(ctx, mine, w.now, w.tenant.ID); err != nil || len(all) != len(cloud.Resources()) {
		t.Errorf("%v, %v", all, err)
	}
	_, err := w.Quotas(ctx, cloud.Caller{TenantID: id("other")}, w.now, w.tenant.ID)
	w.refused(err, cloud.CodeNotFound)
	_, err = w.Quotas(ctx, mine, w.now, "")
	w.refused(err, cloud.CodeForbidden)
}

func TestImagesAndTokensHaveQuotas(t *testing.T) {
	w := newWorld(t) // one image
	w.limit(cloud.ResourceImages, 1)
	_, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{ID: id("more"), TenantID: w.tenant.ID, Name: "more", Source: cloud.SourceURL, Firmware: cloud.FirmwareBIOS})
	w.refused(err, cloud.CodeQuota)
	w.limit(cloud.ResourceTokens, 1)
	k, err := w.token(operator, cloud.NewToken{Name: "one", TenantID: w.tenant.ID, Role: cloud.RoleViewer})
	w.must(err)
	_, err = w.token(operator, cloud.NewToken{Name: "two", TenantID: w.tenant.ID, Role: cloud.RoleViewer})
	w.refused(err, cloud.CodeQuota)
	w.must(w.RevokeToken(ctx, operator, w.now, k.ID))
	_, err = w.token(operator, cloud.NewToken{Name: "three", TenantID: w.tenant.ID, Role: cloud.RoleViewer})
	w.must(err)
}
