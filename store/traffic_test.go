package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

func nics(device string, egress, ingress int64) []cloud.NICCounter {
	return []cloud.NICCounter{{Device: device, Egress: egress, Ingress: ingress}}
}

// moved records a reading of the run that is on, now.
func (w *world) moved(i cloud.Instance, n []cloud.NICCounter) {
	w.t.Helper()
	run := w.instance(i.ID).StartedAt
	w.must(w.RecordTraffic(ctx, w.now, []cloud.TrafficReading{{InstanceID: i.ID, Run: run, At: w.now, NICs: n}}))
}

// traffic is what the rows say, in minutes after noon.
func (w *world) traffic(instanceID string) (out []string) {
	w.t.Helper()
	rows, err := w.UsageTraffic(ctx, operator, cloud.UsageFilter{InstanceID: instanceID})
	w.must(err)
	for _, u := range rows {
		out = append(out, fmt.Sprintf("%s %s %d: %d-%d %v-%v", u.Slot, u.Meter, u.Bytes, u.CounterStart, u.CounterEnd,
			u.StartedAt.Sub(noon).Minutes(), u.EndedAt.Sub(noon).Minutes()))
	}
	return out
}

func (w *world) wantTraffic(instanceID string, want ...string) {
	w.t.Helper()
	if got := w.traffic(instanceID); !slices.Equal(got, want) {
		w.t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBytesAreCountedOnce(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Hour)
	w.moved(i, nics("vnet0", 100, 10))
	w.later(time.Hour)
	w.moved(i, nics("vnet0", 100, 30)) // nothing was sent
	w.moved(i, nics("vnet0", 100, 30)) // the same again, as after a lost answer
	w.later(time.Hour)
	w.moved(i, nics("vnet0", 150, 30))
	w.wantTraffic(i.ID,
		"nic:0 egress 100: 0-100 0-60", "nic:0 ingress 10: 0-10 0-60",
		"nic:0 ingress 20: 10-30 60-120",
		"nic:0 egress 25: 100-125 60-120", "nic:0 egress 25: 125-150 120-180") // nobody knows when
	// Who has looked meanwhile knows more.
	w.later(3 * time.Hour)
	w.must(w.RecordTraffic(ctx, w.now, []cloud.TrafficReading{{
		InstanceID: i.ID, Run: w.instance(i.ID).StartedAt, At: w.now, Since: w.now.Add(-time.Hour), NICs: nics("vnet0", 250, 30),
	}}))
	if all := w.traffic(i.ID); all[len(all)-1] != "nic:0 egress 100: 150-250 300-360" {
		t.Errorf("got %v", all)
	}
}

func TestCountersBeginAgain(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Minute)
	w.moved(i, nics("vnet0", 100, 0))
	w.later(time.Minute)
	w.moved(i, nics("vnet0", 40, 0)) // the same device shrank: a reset
	w.later(time.Minute)
	w.moved(i, nics("vnet1", 70, 0)) // another device in the same run: put in anew
	w.later(time.Minute)
	r := w.stopped(i)
	r.Traffic = &cloud.TrafficReading{InstanceID: i.ID, Run: w.instance(i.ID).StartedAt, At: w.now, NICs: nics("vnet1", 80, 0)}
	w.later(time.Minute)
	r.At = w.now
	w.record(r)
	w.later(time.Minute)
	w.record(w.running(i)) // another run, whose device has the name of the one before
	w.later(time.Minute)
	w.moved(i, nics("vnet1", 90, 0))
	w.wantTraffic(i.ID,
		"nic:0 egress 100: 0-100 0-1", "nic:0 egress 40: 0-40 1-2", "nic:0 egress 70: 0-70 2-3",
		"nic:0 egress 10: 70-80 3-4", "nic:0 egress 90: 0-90 6-7")
}

func TestAReadingOfAnotherRunIsNotCounted(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	run := w.instance(i.ID).StartedAt
	w.later(time.Minute)
	w.record(w.stopped(i))
	late := cloud.TrafficReading{InstanceID: i.ID, Run: run, At: w.now, NICs: nics("vnet0", 100, 0)}
	w.must(w.RecordTraffic(ctx, w.now, []cloud.TrafficReading{late, {InstanceID: id("nobody"), Run: run, At: w.now}}))
	w.later(time.Minute)
	w.record(w.running(i))
	w.later(time.Minute)
	late.At = w.now
	w.must(w.RecordTraffic(ctx, w.now, []cloud.TrafficReading{late}))
	w.wantTraffic(i.ID)
}

func TestBytesBelongToWhenTheyWereRead(t *testing.T) {
	w := newWorld(t)
	a, b := w.run("web1"), w.run("web2")
	w.later(time.Hour)
	w.moved(a, nics("vnet0", 100, 7))
	w.moved(b, nics("vnet1", 1, 0))
	w.later(time.Hour)
	w.moved(a, nics("vnet0", 300, 7))
	for _, c := range []struct {
		from, to        int // hours after noon
		egress, ingress int64
	}{{0, 1, 100, 7}, {1, 2, 200, 0}, {0, 2, 300, 7}, {2, 3, 0, 0}} {
		f := cloud.UsageFilter{InstanceID: a.ID, From: noon.Add(time.Duration(c.from) * time.Hour), To: noon.Add(time.Duration(c.to) * time.Hour)}
		sums, err := w.TrafficSums(ctx, operator, f)
		w.must(err)
		var got cloud.TrafficSum
		if len(sums) > 0 {
			got = sums[0]
		}
		if got.Egress != c.egress || got.Ingress != c.ingress || len(sums) > 1 {
			t.Errorf("hours %d to %d: %+v", c.from, c.to, sums)
		}
	}
	other := cloud.Caller{TenantID: w.newTenant("other").ID}
	_, err := w.TrafficSums(ctx, other, cloud.UsageFilter{InstanceID: a.ID})
	w.refused(err, cloud.CodeNotFound)
	_, err = w.UsageTraffic(ctx, other, cloud.UsageFilter{TenantID: w.tenant.ID})
	w.refused(err, cloud.CodeNotFound)
}

func TestTrafficsGuardsHold(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(time.Hour)
	w.moved(i, nics("vnet0", 100, 0))
	const insert = `INSERT INTO usage_traffic (tenant_id, resource_id, slot, meter, bytes, started_at, ended_at, run, device, counter_start, counter_end)
		SELECT tenant_id, resource_id, slot, %s FROM usage_traffic`
	for name, statement := range map[string]string{
		"change":        `UPDATE usage_traffic SET bytes = 1, counter_end = 1`,
		"delete":        `DELETE FROM usage_traffic`,
		"again":         fmt.Sprintf(insert, `meter, bytes, started_at, ended_at, run, device, counter_start, counter_end`),
		"overlap":       fmt.Sprintf(insert, `meter, 10, started_at + 1, ended_at + 1, run, device, 100, 110`),
		"count twice":   fmt.Sprintf(insert, `meter, 150, ended_at, ended_at + 1, run, device, 0, 150`),
		"leave out":     fmt.Sprintf(insert, `meter, 10, ended_at, ended_at + 1, run, device, 110, 120`),
		"new, not at 0": fmt.Sprintf(insert, `meter, 10, ended_at, ended_at + 1, run, 'vnet9', 100, 110`),
		"wrong sum":     fmt.Sprintf(insert, `meter, 11, ended_at, ended_at + 1, run, device, 100, 110`),
		"nothing":       fmt.Sprintf(insert, `meter, 0, ended_at, ended_at + 1, run, device, 100, 100`),
		"negative":      fmt.Sprintf(insert, `meter, -10, ended_at, ended_at + 1, run, device, 100, 90`),
		"no length":     fmt.Sprintf(insert, `meter, 10, ended_at, ended_at, run, device, 100, 110`),
		"before a run":  fmt.Sprintf(insert, `meter, 10, ended_at, ended_at + 1, ended_at + 1, device, 0, 10`),
		"two hours":     fmt.Sprintf(insert, `meter, 10, ended_at, ended_at + 3600001, run, device, 100, 110`),
		"other meter":   fmt.Sprintf(insert, `'disk', 10, ended_at, ended_at + 1, run, device, 0, 10`),
		"replace":       strings.Replace(fmt.Sprintf(insert, `meter, 10, started_at, ended_at, run, device, 0, 10`), "INSERT", "INSERT OR REPLACE", 1),
	} {
		if err := store.Exec(w.DB, statement); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	w.wantTraffic(i.ID, "nic:0 egress 100: 0-100 0-60")
	w.must(store.Exec(w.DB, fmt.Sprintf(insert, `meter, 10, ended_at, ended_at + 1, run, device, 100, 110`)))
}
