package daemon

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/meter"
	"lodge/store"
)

// billing is an installation with a price, around the end of a month.
type billing struct{ *days }

func (b billing) instance(tenant, name string) cloud.Instance {
	b.t.Helper()
	i, err := b.db.CreateInstance(context.Background(), b.root, b.ledgerNow(), cloud.NewInstance{
		ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), Name: name, TenantID: tenant, VCPUs: 1, MemoryMiB: 512,
	})
	b.must(err)
	return i
}

func (b billing) invoice(tenant string, month time.Time) cloud.Invoice {
	b.t.Helper()
	i, err := b.db.CreateInvoice(context.Background(), b.root, b.ledgerNow(), cloud.NewInvoice{
		ID: uuid.NewString(), TenantID: tenant, Month: month, InvoiceTerms: cloud.InvoiceTerms{Prefix: "INV-"},
	}, meter.Invoice)
	b.must(err)
	return i
}

// said is the event of an invoice.
func (b billing) said(i cloud.Invoice) string {
	b.t.Helper()
	all, err := b.db.Events(context.Background(), b.root, cloud.EventFilter{Limit: 1000})
	b.must(err)
	for _, e := range all {
		if e.Type == "invoice.created" && e.Subject.ID == i.ID {
			return e.Message
		}
	}
	b.t.Fatalf("no event tells of the invoice %s", i.Number)
	return ""
}

// nextMonth has nobody run until the month is over, then a lodged that closes its hours.
func (b billing) nextMonth(month time.Time) {
	time.Sleep(time.Until(month.AddDate(0, 1, 0).Add(10 * time.Minute)))
	b.lodgedAgain()
	time.Sleep(20 * time.Minute)
	b.kill(true)
}

func (b billing) pending() (n int) {
	b.t.Helper()
	l, err := b.db.LedgerStats(context.Background())
	b.must(err)
	return int(l.Pending)
}

// A backup is taken while hours of an invoiced month wait for their correction. It
// is made once behind the restore, as it was without one, and is on the next invoice
// once. The invoice that was made after the backup is lost; its number goes to
// another one, which says so.
func TestCorrectionsAndInvoicesBehindARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &days{t: t, rand: rand.New(rand.NewPCG(1, 13)), hid: uuid.NewString(), root: cloud.Caller{Operator: true}, log: io.Discard,
			runs: map[string][]run{}, asked: map[string]time.Time{}}
		b := billing{d}
		ctx, dir := context.Background(), t.TempDir()
		d.path = filepath.Join(dir, "lodge.db")
		month := cloud.Month(time.Now().UTC().AddDate(0, 1, 0))
		next := month.AddDate(0, 1, 0)
		time.Sleep(time.Until(next.Add(-5 * time.Hour)))
		d.clock.booted = time.Now()
		d.host = sim.New(sim.Options{Now: time.Now, Seed: 1, Latency: sim.Realistic()})
		d.open()
		d.lodgedAgain()
		_, err := d.db.CreatePrice(ctx, d.root, d.ledgerNow(), cloud.Price{ID: uuid.NewString(), Meter: cloud.MeterVCPU, UnitPrice: "0.60", Currency: "EUR"}, false)
		b.must(err)
		ours := d.tenant()
		tenants := map[string]string{}
		for n, name := range []string{"early", "late"} {
			id := uuid.NewString()
			_, err := d.db.CreateTenant(ctx, d.root, d.ledgerNow(), cloud.NewTenant{ID: id, NetworkID: uuid.NewString(), SubnetID: uuid.NewString(), Name: name})
			b.must(err)
			tenants[name] = id
			for k := range n + 1 {
				b.instance(id, fmt.Sprintf("%s%d", name, k))
			}
		}
		vm := b.instance(ours, "vm")
		time.Sleep(time.Until(next.Add(20 * time.Minute)))
		first := b.invoice(ours, month)
		d.kill(true)

		// It is found out that the guest had ended two hours before the month did.
		at, ended := d.ledgerNow(), next.Add(-2*time.Hour)
		i, err := d.db.Instance(ctx, d.root, vm.ID)
		b.must(err)
		b.must(d.db.RecordInstance(ctx, cloud.InstanceRecord{
			ID: vm.ID, Generation: i.Generation, ObservedGeneration: i.Generation, State: cloud.StateStopped, GuestStopped: true, RootSeen: true,
			Readings: cloud.Readings(cloud.StateStopped, cloud.Size{VCPUs: 1, MemoryMiB: 512, DiskGiB: i.DiskGiB}, true), At: at, EndAt: ended, Evidence: cloud.EvidenceLog,
		}))
		b.must(d.host.PowerGuest(ctx, vm.ID, cloud.ActDestroy))
		if n := b.pending(); n == 0 {
			t.Fatal("no hour waits for its correction")
		}
		saved := filepath.Join(dir, "saved.db")
		b.must(store.Copy(ctx, d.path, saved))
		taken := time.Now()

		goOn := func() {
			d.lodgedAgain()
			time.Sleep(10 * time.Minute)
			d.kill(true)
			if n := b.pending(); n != 0 {
				t.Errorf("%d corrections wait", n)
			}
		}
		goOn()
		before := closedHours(t, d.db)
		lost := b.invoice(tenants["early"], month)
		wall := time.Now()
		b.must(d.db.Close())

		b.must(store.MarkCopy(ctx, saved, time.Now(), "b1", taken))
		d.db, err = store.Open(saved)
		b.must(err)
		defer func() { b.must(d.db.Close()) }()
		goOn()
		after := closedHours(t, d.db)
		corrected := 0
		for key, h := range before.hours {
			if h.Revision > 1 {
				corrected++
			}
			if diff := cmp.Diff(h, after.hours[key]); diff != "" {
				t.Errorf("revision %d of the hour %v is another one:\n%s", h.Revision, h.Hour, diff)
			}
		}
		for key, h := range after.hours {
			if _, there := before.hours[key]; !there && h.Hour.Before(wall.Truncate(time.Hour)) {
				t.Errorf("revision %d of the hour %v was not there before", h.Revision, h.Hour)
			}
		}
		if corrected == 0 {
			t.Error("no hour was corrected")
		}

		second := b.invoice(tenants["late"], month)
		if second.Number != lost.Number || second.Total == lost.Total {
			t.Fatalf("the lost invoice was %s of %s, the new one is %s of %s", lost.Number, lost.Total, second.Number, second.Total)
		}
		if m := b.said(second); !strings.Contains(m, "may have had this number") {
			t.Errorf("nobody is told of a number that is given twice: %s", m)
		}
		if m := b.said(first); strings.Contains(m, "may have had this number") {
			t.Errorf("the first invoice is told of: %s", m)
		}
		if again := b.invoice(tenants["early"], month); again.Total != lost.Total || !cmp.Equal(again.Lines, lost.Lines) {
			t.Errorf("the lost invoice had\n%+v\nand made again it has\n%+v", lost.Lines, again.Lines)
		}

		b.nextMonth(next)
		var late []cloud.InvoiceLine
		for _, l := range b.invoice(ours, next).Lines {
			if l.Correction {
				late = append(late, l)
			}
		}
		if len(late) != 1 || late[0].Cost != "-1.2" || !late[0].Month.Equal(month) {
			t.Errorf("two hours of 0.60 are to be given back, once: %+v", late)
		}
	})
}
