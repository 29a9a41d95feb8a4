package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
)

// act is one thing that the n-th tenant asks for. Refusals are fine; what is
// promised is written down, and must come true.
func (w *storm) act(r *rand.Rand, n int) {
	if !w.api.TryRLock() {
		return // lodged is down: a client is told so
	}
	defer w.api.RUnlock()
	w.acts.Add(1)
	ctx, now, c := context.Background(), w.now(), w.root
	c.Begin = &cloud.Begin{NewID: uuid.NewString}
	all, _, err := w.db.Instances(ctx, c, cloud.Filter{TenantID: w.tenants[n]}, cloud.Page{Limit: 500})
	w.must(err)
	if len(all) == 0 || len(all) < 10 && r.IntN(3) == 0 {
		w.refused(w.create(ctx, c, now, r, n))
		return
	}
	i := all[r.IntN(len(all))]
	force := r.IntN(2) == 0
	switch r.IntN(12) {
	case 0, 1:
		if _, err = w.db.PowerInstance(ctx, c, now, i.ID, cloud.PowerStop, force); err == nil {
			w.wished(cloud.PowerOff, i.ID)
		}
	case 2, 3:
		if _, err = w.db.PowerInstance(ctx, c, now, i.ID, cloud.PowerStart, force); err == nil {
			w.wished(cloud.PowerOn, i.ID)
		}
	case 4:
		_, err = w.db.PowerInstance(ctx, c, now, i.ID, cloud.PowerReboot, force)
	case 5, 6:
		v, m := 1+r.IntN(4), 256<<r.IntN(4)
		_, err = w.db.UpdateInstance(ctx, c, now, i.ID, cloud.InstanceChange{VCPUs: &v, MemoryMiB: &m})
	case 7:
		w.apart(w.itself, i.ID)
		nap := map[bool]string{true: "yes", false: "no"}[r.IntN(2) == 0]
		_, err = w.db.UpdateInstance(ctx, c, now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"nap": &nap}}})
	case 8:
		name := fmt.Sprintf("%s-%d", i.Name[:min(8, len(i.Name))], r.IntN(1000))
		_, err = w.db.UpdateInstance(ctx, c, now, i.ID, cloud.InstanceChange{Name: &name})
	case 9:
		do, to := cloud.BulkStart, cloud.PowerOn
		if r.IntN(2) == 0 {
			do, to = cloud.BulkStop, cloud.PowerOff
		}
		if _, err = w.db.ChangeInstances(ctx, c, now, cloud.Filter{TenantID: w.tenants[n]}, cloud.BulkChange{Do: do, Force: force}); err == nil {
			for _, i := range all {
				w.wished(to, i.ID)
			}
		}
	case 10, 11:
		if _, err = w.db.DeleteInstance(ctx, c, now, i.ID); err == nil {
			w.mu.Lock()
			w.removed[i.ID] = true
			w.mu.Unlock()
		}
	}
	w.refused(err)
}

// wished writes down a power that was promised.
func (w *storm) wished(power cloud.Power, ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.power[id] = power
	}
}

// apart writes down that what was promised of an instance is not all that counts.
func (w *storm) apart(of map[string]bool, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of[id] = true
}

func (w *storm) create(ctx context.Context, c cloud.Caller, now time.Time, r *rand.Rand, n int) error {
	w.mu.Lock()
	w.n++
	name := fmt.Sprintf("vm%d", w.n)
	w.mu.Unlock()
	i, err := w.db.CreateInstance(ctx, c, now, cloud.NewInstance{
		ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: w.tenants[n], Name: name,
		VCPUs: 1 + r.IntN(4), MemoryMiB: 256 << r.IntN(4), Stopped: r.IntN(5) == 0,
	})
	if err == nil {
		w.mu.Lock()
		w.made[i.ID], w.power[i.ID] = w.tenants[n], i.Power
		w.mu.Unlock()
	}
	return err
}

// refused lets the answers pass that a tenant may get.
func (w *storm) refused(err error) {
	switch cloud.CodeOf(err) {
	case cloud.CodeConflict, cloud.CodeNotFound, cloud.CodeQuota:
		return
	}
	if err != nil {
		w.t.Errorf("a tenant was told %v", err)
	}
}
