package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
)

// named gives ids that r decides: a replay has the same ones, and backoffs, which
// go by ids, are the same.
func named(r *rand.Rand) string {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuid.UUID(b).String()
}

// person is somebody who asks for things, with what is promised to nobody else.
type person struct {
	w      *storm
	r      *rand.Rand
	c      cloud.Caller
	tenant string
	n      int      // of names
	images []string // of the tenant's own that are not deleted
	regret string   // what was stopped a moment ago and is started now, while its guest shuts down
}

func (w *storm) person(n int) *person {
	p := &person{w: w, r: rand.New(rand.NewPCG(w.seed, uint64(100+n))), c: w.root, n: 1000 * n}
	if n < len(w.tenants) {
		p.tenant = w.tenants[n]
	}
	p.c.Begin = &cloud.Begin{NewID: func() string { return named(p.r) }}
	return p
}

func (p *person) name(kind string) string {
	p.n++
	return fmt.Sprintf("%s%d", kind, p.n)
}

// act is one thing that a tenant asks for. Refusals are fine; what is promised is
// written down, and must come true.
func (p *person) act() {
	w, r := p.w, p.r
	if !w.api.TryRLock() {
		return // lodged is down: a client is told so
	}
	defer w.api.RUnlock()
	w.acts.Add(1)
	ctx, now := context.Background(), w.now()
	all, _, err := w.db.Instances(ctx, p.c, cloud.Filter{TenantID: p.tenant}, cloud.Page{Limit: 500})
	w.must(err)
	for _, i := range all {
		if i.ID == p.regret {
			p.regret = ""
			w.refused(p.power(ctx, now, i, cloud.PowerStart, false))
			return
		}
	}
	if len(all) == 0 || len(all) < 10 && r.IntN(3) == 0 {
		w.refused(p.create(ctx, now))
		return
	}
	if r.IntN(6) == 0 {
		w.refused(p.beside(ctx, now))
		return
	}
	w.refused(p.change(ctx, now, all[r.IntN(len(all))]))
}

// change is one thing that is asked of an instance, or of all of them.
func (p *person) change(ctx context.Context, now time.Time, i cloud.Instance) (err error) {
	w, r := p.w, p.r
	force := r.IntN(2) == 0
	switch r.IntN(14) {
	case 0, 1:
		if err = p.power(ctx, now, i, cloud.PowerStop, force); err == nil && !force {
			p.regret = i.ID
		}
	case 2, 3:
		err = p.power(ctx, now, i, cloud.PowerStart, force)
	case 4:
		err = p.power(ctx, now, i, cloud.PowerReboot, force)
	case 5, 6:
		v, m := 1+r.IntN(4), 256<<r.IntN(4)
		ch := []cloud.InstanceChange{{VCPUs: &v}, {MemoryMiB: &m}, {VCPUs: &v, MemoryMiB: &m}}[r.IntN(3)]
		_, err = w.db.UpdateInstance(ctx, p.c, now, i.ID, ch)
	case 7:
		key, yes := []string{"nap", "spend"}[r.IntN(2)], "yes"
		value := &yes
		if i.Labels[key] != "" {
			// What it was stopped by need not start it again: whose wish counts then is
			// for other tests.
			value = nil
			w.apart(w.itself, i.ID)
		}
		w.apart(w.labelled, i.ID)
		_, err = w.db.UpdateInstance(ctx, p.c, now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{key: value}}})
	case 8:
		name := p.name("vm")
		_, err = w.db.UpdateInstance(ctx, p.c, now, i.ID, cloud.InstanceChange{Name: &name})
	case 9:
		err = p.bulk(ctx, now, force)
	case 10:
		held := !i.Protected
		_, err = w.db.UpdateInstance(ctx, p.c, now, i.ID, cloud.InstanceChange{Protected: &held})
	case 11:
		_, err = w.host.ConsoleLog(ctx, i.ID, 1000)
	case 12, 13:
		if r.IntN(3) == 0 { // an operator has the same idea
			w.apart(w.edited, i.ID)
			if r.IntN(3) > 0 { // all that a look can show is gone then; NVRAM is left
				w.host.DestroyByHand(i.ID)
			}
			w.host.UndefineByHand(i.ID)
		}
		if _, err = w.db.DeleteInstance(ctx, p.c, now, i.ID); err == nil {
			w.apart(w.removed, i.ID)
		}
	}
	return err
}

func (p *person) power(ctx context.Context, now time.Time, i cloud.Instance, do cloud.PowerChange, force bool) error {
	is, err := p.w.db.PowerInstance(ctx, p.c, now, i.ID, do, force)
	if err == nil {
		want := cloud.PowerOn
		if do == cloud.PowerStop {
			want = cloud.PowerOff
		}
		p.w.wished(want, i.ID, is.Generation > i.Generation)
	}
	return err
}

func (p *person) bulk(ctx context.Context, now time.Time, force bool) error {
	do := []cloud.BulkAction{cloud.BulkStart, cloud.BulkStop, cloud.BulkStart, cloud.BulkStop, cloud.BulkDelete}[p.r.IntN(5)]
	f := cloud.Filter{TenantID: p.tenant}
	if do == cloud.BulkDelete { // of all there would be nothing left to storm on
		f.Labels, _ = cloud.ParseSelector("nap=yes")
	}
	out, err := p.w.db.ChangeInstances(ctx, p.c, now, f, cloud.BulkChange{Do: do, Force: force})
	for _, i := range out.Changed {
		switch do {
		case cloud.BulkDelete:
			p.w.apart(p.w.removed, i.ID)
		case cloud.BulkStart:
			p.w.wished(cloud.PowerOn, i.ID, true)
		case cloud.BulkStop:
			p.w.wished(cloud.PowerOff, i.ID, true)
		}
	}
	return err
}

// wished writes down a power that was promised. newer: it is not what was wished
// already, so what the guest did of itself before counts no more.
func (w *storm) wished(power cloud.Power, id string, newer bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.power[id] = power
	if newer {
		delete(w.shut, id)
	}
}

// apart writes down that something is true of an id.
func (w *storm) apart(of map[string]bool, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of[id] = true
}

// create asks for an instance; one time in four it does so twice, as a client does
// whose first answer was lost.
func (p *person) create(ctx context.Context, now time.Time) error {
	w, r := p.w, p.r
	n := cloud.NewInstance{
		ID: named(r), VolumeID: named(r), PortID: named(r), TenantID: p.tenant, Name: p.name("vm"),
		VCPUs: 1 + r.IntN(4), MemoryMiB: 256 << r.IntN(4), Stopped: r.IntN(5) == 0, SSHKeys: []string{"ssh-ed25519 " + named(r)},
	}
	switch r.IntN(6) {
	case 0, 3, 4:
		n.Image = "uefi"
	case 1:
		if len(p.images) > 0 {
			n.Image = p.images[r.IntN(len(p.images))]
		}
	case 2:
		n.Labels = map[string]string{"spend": "yes"}
	case 5:
		n.Labels = map[string]string{"nap": "yes"}
	}
	c := p.c
	if r.IntN(4) == 0 {
		c.Once = &cloud.Once{
			Key: named(r), Request: func() string { return n.Name },
			Render: func(v any) (cloud.Answer, error) {
				return cloud.Answer{Status: 202, Location: v.(cloud.Instance).ID}, nil
			},
		}
	}
	i, err := w.db.CreateInstance(ctx, c, now, n)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.made[i.ID], w.power[i.ID], w.keys[i.ID] = p.tenant, i.Power, n.SSHKeys[0]
	w.labelled[i.ID] = len(n.Labels) > 0
	w.mu.Unlock()
	if c.Once != nil {
		was := n.ID
		n.ID, n.VolumeID, n.PortID = named(r), named(r), named(r)
		if again, err := w.db.CreateInstance(ctx, c, now, n); !replayed(err, was) {
			w.broke("a repeated create makes no second instance", "%s: %s, %v", was, again.ID, err)
		}
	}
	return nil
}

// refused lets the answers pass that a tenant may get.
func (w *storm) refused(err error) {
	switch cloud.CodeOf(err) {
	case cloud.CodeConflict, cloud.CodeNotFound, cloud.CodeQuota, cloud.CodeBudget, cloud.CodeInUse, cloud.CodeProtected, cloud.CodeImageNotReady:
		return
	case cloud.CodeUnavailable:
		if w.busy.Load() {
			return
		}
	}
	if err != nil {
		w.t.Errorf("a tenant was told %v", err)
	}
}
