package daemon

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"lodge/cloud"
	"lodge/meter"
)

// figures are what is compared: of what runs, of what is kept, and the disk.
type figures [7]int64

var figureNames = [7]string{"instance", "vcpu", "memory", "instance kept", "vcpu kept", "memory kept", "disk"}

func (f *figures) add(kind int, a amounts, ms int64) {
	switch kind {
	case disk:
		f[6] += a.a * ms
	default:
		at := 3 * kind
		f[at], f[at+1], f[at+2] = f[at]+ms, f[at+1]+a.a*ms, f[at+2]+a.b*ms
	}
}

// bounds are what was true, and what there is evidence for.
type bounds struct{ truth, proof figures }

func (b *bounds) hold(f figures) (string, bool) {
	for i := range f {
		if f[i] > b.truth[i] || f[i] < b.proof[i] {
			return fmt.Sprintf("%s: counted %d, true were %d, known are %d: %+d ms x amount against the tenant, %+d for it",
				figureNames[i], f[i], b.truth[i], b.proof[i], f[i]-b.truth[i], b.proof[i]-f[i]), false
		}
	}
	return "", true
}

const hourMs = 3_600_000

// each gives the parts of a track in the ledger's milliseconds, cut where the
// ledger's time jumps.
func (o *oracle) each(t *track, f func(from, to int64, a amounts)) {
	for _, s := range t.spans {
		from := s.from
		for _, j := range o.jumps {
			if j.at > from && j.at < s.to {
				before := o.ledger(from) + j.at - from
				f(int64(o.ledger(from)/time.Millisecond), int64(before/time.Millisecond), s.amounts)
				from = j.at
			}
		}
		end := o.ledger(from) + s.to - from
		f(int64(o.ledger(from)/time.Millisecond), int64(end/time.Millisecond), s.amounts)
	}
}

// check compares the whole ledger with the truth.
func (o *oracle) check() {
	y, ctx, now := o.y, context.Background(), o.y.keeper.Now()
	if y.now == 0 || len(o.all) == 0 {
		y.t.Fatal("nothing happened")
	}
	if is := time.Duration(now.UnixNano()); is != o.ledger(y.now) {
		y.t.Fatalf("the ledger's time is %v, and has to be %v", now, time.Unix(0, int64(o.ledger(y.now))).UTC())
	}
	o.closeAll()
	exact, bounded, wrong := 0, 0, 0
	hours := make([]map[int64]*bounds, len(y.tenants))
	for i := range hours {
		hours[i] = map[int64]*bounds{}
	}
	for _, l := range o.all {
		ivs, err := y.db.UsageIntervals(ctx, y.root, cloud.UsageFilter{InstanceID: l.id})
		y.must(err)
		whole, months := o.of(l, hours[l.tenant])
		if why, ok := whole.hold(add(ivs, now)); !ok {
			wrong++
			y.t.Errorf("%s: %s", l.name, why)
			if wrong == 1 {
				o.explain(l, ivs)
			}
		}
		if whole.truth == whole.proof {
			exact++
		} else {
			bounded++
		}
		o.checkMonths(l, ivs, months, now)
		o.checkFacts(l)
		if wrong > 5 {
			y.t.Fatal("and so on")
		}
	}
	report := o.checkHours(hours)
	y.t.Logf("%s, %d instances: %d known to the millisecond, %d with ends that nobody saw; %d rows, %d hours, %d links, %d jumps of the clock, %d boots",
		y.now.Truncate(time.Hour), len(o.all), exact, bounded, report.Intervals, report.Hours, report.Links, len(o.jumps)-1, y.boot+1)
}

// of sums what the oracle knows of an instance: altogether, by month, and by
// hour of its tenant.
func (o *oracle) of(l *life, hours map[int64]*bounds) (whole bounds, months map[int64]*bounds) {
	a, months := o.acts[l], map[int64]*bounds{}
	at := func(m map[int64]*bounds, k int64) *bounds {
		if m[k] == nil {
			m[k] = &bounds{}
		}
		return m[k]
	}
	for k := range kinds {
		for which, t := range []*track{&a.truth[k], &a.proof[k]} {
			pick := func(b *bounds) *figures {
				if which == 0 {
					return &b.truth
				}
				return &b.proof
			}
			for _, s := range t.spans {
				pick(&whole).add(k, s.amounts, int64((s.to-s.from)/time.Millisecond))
			}
			o.each(t, func(from, to int64, am amounts) {
				for h := from / hourMs; h*hourMs < to; h++ {
					ms := min(to, (h+1)*hourMs) - max(from, h*hourMs)
					pick(at(hours, h)).add(k, am, ms)
					d := time.UnixMilli(h * hourMs).UTC()
					pick(at(months, int64(d.Year()*12+int(d.Month())-1))).add(k, am, ms)
				}
			})
		}
	}
	return whole, months
}

// add sums rows of the ledger with nothing but subtraction.
func add(ivs []cloud.Interval, now time.Time) (f figures) {
	for _, iv := range ivs {
		end := iv.EndedAt
		if end.IsZero() {
			end = now
		}
		ms := end.UnixMilli() - iv.StartedAt.UnixMilli()
		i := map[cloud.Meter]int{"instance": 0, "vcpu": 1, "memory": 2, "disk": 6}[iv.Meter]
		if i == 6 {
			f[6] += iv.Amount * ms
			continue
		}
		f[i+3] += iv.Amount * ms
		if iv.State == "running" || iv.State == "paused" {
			f[i] += iv.Amount * ms
		}
	}
	return f
}

// explain shows the rows of what is wrong beside what was true.
func (o *oracle) explain(l *life, ivs []cloud.Interval) {
	var b strings.Builder
	for _, iv := range ivs {
		if iv.Meter == cloud.MeterVCPU || iv.Meter == cloud.MeterDisk {
			fmt.Fprintf(&b, "row %s=%d %s %d - %d %s\n", iv.Slot, iv.Amount, iv.State, iv.StartedAt.UnixMilli(), max(0, iv.EndedAt.UnixMilli()), iv.Evidence)
		}
	}
	for k, name := range []string{"running", "kept", "disk"} {
		o.each(&o.acts[l].truth[k], func(from, to int64, a amounts) { fmt.Fprintf(&b, "true %s %v %d - %d\n", name, a, from, to) })
		o.each(&o.acts[l].proof[k], func(from, to int64, a amounts) { fmt.Fprintf(&b, "known %s %v %d - %d\n", name, a, from, to) })
	}
	o.y.t.Log(b.String())
}

// checkMonths compares the sums that reports and bills are made of.
func (o *oracle) checkMonths(l *life, ivs []cloud.Interval, months map[int64]*bounds, now time.Time) {
	for k, b := range months {
		from := time.Date(int(k/12), time.Month(k%12+1), 1, 0, 0, 0, 0, time.UTC)
		var f figures
		for _, t := range meter.Sum(ivs, from, from.AddDate(0, 1, 0), now) {
			for i, q := range []meter.Quantity{t.Instance, t.VCPU, t.Memory, t.Allocated.Instance, t.Allocated.VCPU, t.Allocated.Memory, t.Disk} {
				f[i] += whole(o.y, q.String())
			}
		}
		if why, ok := b.hold(f); !ok {
			o.y.t.Errorf("%s in %s: %s", l.name, from.Format("2006-01"), why)
		}
	}
}

func whole(y *year, text string) int64 {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || !n.IsInt64() {
		y.t.Fatalf("%q is no amount", text)
	}
	return n.Int64()
}

func (o *oracle) checkFacts(l *life) {
	facts, err := o.y.db.UsageFacts(context.Background(), o.y.root, cloud.UsageFilter{InstanceID: l.id})
	o.y.must(err)
	var got []string
	for _, f := range facts {
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		got = append(got, factText(f.Since.UnixMilli(), f.Name, f.Labels))
	}
	if !slices.Equal(got, o.facts[l]) {
		o.y.t.Errorf("%s: the facts are %q, and have to be %q", l.name, got, o.facts[l])
	}
}

// checkHours compares every closed hour of every tenant, and has lodge verify
// its ledger.
func (o *oracle) checkHours(hours []map[int64]*bounds) (report meter.Report) {
	y := o.y
	type key struct {
		tenant string
		hour   int64
	}
	closed := map[key]figures{}
	var from, to time.Time
	y.must(y.db.ReadLedger(context.Background(), func(l cloud.Ledger) (err error) {
		if from, to, err = l.Closed(); err != nil {
			return err
		}
		if err := l.Hours(func(h cloud.UsageHour) error {
			var f figures
			for name, text := range h.Totals {
				m, state, stopped := strings.Cut(name, "/")
				n := whole(y, text)
				switch i := slices.Index([]string{"instance", "vcpu", "memory"}, m); {
				case m == "disk":
					f[6] += n
				case name == "image": // the one that all are made from; nothing happens to it
				case i < 0 || state == "running" || state == "paused":
					y.t.Errorf("a total is called %q", name)
				default:
					f[i+3] += n
					if !stopped {
						f[i] += n
					}
				}
			}
			closed[key{h.TenantID, h.Hour.UnixMilli() / hourMs}] = f // the last revision
			return nil
		}); err != nil {
			return err
		}
		report, err = meter.Verify(l)
		return err
	}))
	for _, f := range report.Findings {
		y.t.Errorf("verify: %s %s %d: %s", f.Check, f.Table, f.Row, f.Message)
	}
	if now := y.keeper.Now(); report.Pending != 0 || from.IsZero() || to.Before(now.Add(-3*time.Hour)) {
		y.t.Errorf("closed are %v to %v, %d wait for their correction", from, to, report.Pending)
	}
	for i, tenant := range y.tenants {
		for h := from.UnixMilli() / hourMs; h < to.UnixMilli()/hourMs; h++ {
			b := hours[i][h]
			if b == nil {
				b = &bounds{}
			}
			if why, ok := b.hold(closed[key{tenant, h}]); !ok {
				y.t.Errorf("the hour %s of tenant %d: %s", time.UnixMilli(h*hourMs).UTC().Format(time.RFC3339), i, why)
			}
		}
	}
	return report
}
