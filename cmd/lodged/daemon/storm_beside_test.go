package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// replayed reports whether the answer is the kept one that names the id.
func replayed(err error, id string) bool {
	var r *cloud.Replay
	return errors.As(err, &r) && r.Location == id
}

// beside is one thing that is asked for beside instances: images, budgets,
// schedules, labels of the network, the end of an operation.
func (p *person) beside(ctx context.Context, now time.Time) error {
	w, r := p.w, p.r
	switch r.IntN(9) {
	case 0, 1:
		return p.addImage(ctx, now)
	case 2:
		return p.deleteImage(ctx, now)
	case 3, 4:
		return p.cancel(ctx, now)
	case 5:
		return p.budget(ctx, now)
	case 6:
		return p.schedule(ctx, now)
	case 7:
		nets, _, err := w.db.Networks(ctx, p.c, cloud.Filter{TenantID: p.tenant}, cloud.Page{Limit: 10})
		if err != nil || len(nets) == 0 {
			return err
		}
		yes := "yes"
		_, err = w.db.UpdateNetwork(ctx, p.c, now, nets[0].ID, cloud.LabelChange{Labels: map[string]*string{"seen": &yes}})
		return err
	}
	all, err := w.db.Quotas(ctx, p.c, now, p.tenant)
	if err == nil && len(all) == 0 {
		w.t.Error("no quotas")
	}
	return err
}

func (p *person) addImage(ctx context.Context, now time.Time) error {
	w, r := p.w, p.r
	kind := []string{"good", "good", "slow", "bad", "cut"}[r.IntN(5)]
	img, err := w.db.CreateImage(ctx, p.c, now, cloud.NewImage{
		ID: named(r), TenantID: p.tenant, Name: p.name("img"), Source: cloud.SourceURL, URL: "https://images.example/" + kind,
		Firmware: []cloud.Firmware{cloud.FirmwareBIOS, cloud.FirmwareUEFI}[r.IntN(2)],
	})
	if err != nil {
		return err
	}
	p.images = append(p.images, img.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[img.ID] = kind
	return nil
}

func (p *person) deleteImage(ctx context.Context, now time.Time) error {
	if len(p.images) == 0 {
		return nil
	}
	n := p.r.IntN(len(p.images))
	id := p.images[n]
	err := p.w.db.DeleteImage(ctx, p.c, now, id)
	if err == nil {
		p.images = slices.Delete(p.images, n, n+1)
		p.w.apart(p.w.removed, id)
	}
	return err
}

// cancel ends the oldest operation of the tenant that runs, where that is allowed.
func (p *person) cancel(ctx context.Context, now time.Time) error {
	w := p.w
	running, _, err := w.db.Operations(ctx, p.c, cloud.OperationFilter{TenantID: p.tenant, State: cloud.OperationRunning}, cloud.Page{Limit: 50})
	if err != nil || len(running) == 0 {
		return err
	}
	o, err := w.db.CancelOperation(ctx, p.c, now, running[p.r.IntN(len(running))].ID)
	if err != nil {
		return err
	}
	w.apart(w.removed, o.Subject.ID)
	p.images = slices.DeleteFunc(p.images, func(id string) bool { return id == o.Subject.ID })
	return nil
}

// budget makes, changes or ends the budget of what is labelled spend=yes. A vCPU
// costs 1 an hour.
func (p *person) budget(ctx context.Context, now time.Time) error {
	w, r := p.w, p.r
	amount := fmt.Sprintf("0.%d", 1+r.IntN(9))
	all, err := w.db.Budgets(ctx, p.c, p.tenant)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err = w.db.CreateBudget(ctx, p.c, now, cloud.Budget{
			ID: named(r), TenantID: p.tenant, Name: "spend", Selector: "spend=yes", Amount: amount, Period: cloud.BudgetDay,
			Thresholds: []cloud.BudgetThreshold{
				{Percent: 50, On: cloud.BudgetActual, Action: cloud.BudgetRefuse},
				{Percent: 80, On: cloud.BudgetActual, Action: cloud.BudgetStop, Grace: time.Duration(r.IntN(120)) * time.Second},
			},
		}, meter.JudgeBudget)
		return err
	}
	if r.IntN(3) == 0 {
		_, _, err = w.db.DeleteBudget(ctx, p.c, now, all[0].ID)
		return err
	}
	_, err = w.db.UpdateBudget(ctx, p.c, now, all[0].ID, cloud.BudgetChange{Amount: &amount}, meter.JudgeBudget)
	return err
}

// schedule makes, switches or ends the schedule of what is labelled nap=yes.
func (p *person) schedule(ctx context.Context, now time.Time) error {
	w, r := p.w, p.r
	all, err := w.db.Schedules(ctx, p.c, p.tenant)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err = w.db.CreateSchedule(ctx, p.c, now, cloud.Schedule{
			ID: named(r), TenantID: p.tenant, Name: "naps", Selector: "nap=yes", Stop: "*/20 * * * *", Start: "7-59/20 * * * *", Zone: "UTC", Enabled: true,
		})
		return err
	}
	if r.IntN(3) == 0 {
		_, _, err = w.db.DeleteSchedule(ctx, p.c, now, all[0].ID)
		return err
	}
	on := !all[0].Enabled
	_, err = w.db.UpdateSchedule(ctx, p.c, now, all[0].ID, cloud.ScheduleChange{Enabled: &on}, func(cloud.Schedule) error { return nil })
	return err
}

// operate is one thing that the operator asks for: tenants that come and go with
// their networks, and quotas.
func (p *person) operate() {
	w, r := p.w, p.r
	if !w.api.TryRLock() {
		return
	}
	defer w.api.RUnlock()
	w.acts.Add(1)
	ctx, now := context.Background(), w.now()
	if p.tenant == "" {
		t, err := w.db.CreateTenant(ctx, p.c, now, cloud.NewTenant{ID: named(r), NetworkID: named(r), SubnetID: named(r), Name: p.name("guest")})
		if err == nil {
			p.tenant = t.ID
			w.mu.Lock()
			w.passing = append(w.passing, t.ID)
			w.mu.Unlock()
		}
		w.refused(err)
		return
	}
	var err error
	switch r.IntN(6) {
	case 0, 1:
		err = p.create(ctx, now)
	case 2:
		most := int64(5 + r.IntN(4))
		err = w.db.SetQuotas(ctx, p.c, now, w.tenants[1], map[cloud.Resource]*int64{cloud.ResourceInstances: &most})
	default:
		var out cloud.BulkResult
		out, err = w.db.ChangeInstances(ctx, p.c, now, cloud.Filter{TenantID: p.tenant}, cloud.BulkChange{Do: cloud.BulkDelete})
		for _, i := range out.Changed {
			w.apart(w.removed, i.ID)
		}
		if err == nil && len(out.Changed) == 0 {
			if err = w.db.DeleteTenant(ctx, p.c, now, p.tenant); err == nil {
				p.tenant = ""
			}
		}
	}
	w.refused(err)
}

// meddle has a newer wish come in between a look at the host and its record, where a
// guest has just shut itself down: a reboot, or a start.
func (p *person) meddle() {
	w := p.w
	if !w.api.TryRLock() {
		return
	}
	defer w.api.RUnlock()
	w.mu.Lock()
	id := w.latest
	wanted := w.shut[id] && p.r.IntN(2) == 0
	w.mu.Unlock()
	if !wanted {
		return
	}
	ctx, now := context.Background(), w.now()
	i, err := w.db.Instance(ctx, p.c, id)
	if err == nil && i.Power == cloud.PowerOn {
		err = p.power(ctx, now, i, cloud.PowerReboot, p.r.IntN(2) == 0)
	} else if err == nil {
		err = p.power(ctx, now, i, cloud.PowerStart, false)
	}
	w.refused(err)
}

// fetcher is where images come from.
type fetcher struct{ w *storm }

func (f fetcher) Fetch(ctx context.Context, url string) (io.ReadCloser, int64, error) {
	if f.w.offline.Load() {
		return nil, 0, cloud.Errorf(cloud.CodeURLFailed, "Nobody answers.")
	}
	disk := append(bytes.Repeat([]byte{0}, 510), 0x55, 0xaa)
	total := int64(len(disk))
	switch url[strings.LastIndex(url, "/")+1:] {
	case "slow":
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	case "bad":
		disk[510] = 0
	case "cut":
		disk = disk[:100]
	}
	return io.NopCloser(bytes.NewReader(disk)), total, nil
}
