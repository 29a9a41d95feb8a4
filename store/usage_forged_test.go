package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// byHand runs statements past the guards of the ledger, which are there again
// behind them.
func (w *world) byHand(statements ...string) {
	w.t.Helper()
	guards := store.Query(w.t, w.DB, `SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND (name LIKE 'usage%' OR name LIKE 'invoice%' OR name LIKE 'price%')`)
	for _, name := range store.Query(w.t, w.DB, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND (name LIKE 'usage%' OR name LIKE 'invoice%' OR name LIKE 'price%')`) {
		w.must(store.Exec(w.DB, `DROP TRIGGER `+name))
	}
	for _, s := range statements {
		w.must(store.Exec(w.DB, s))
	}
	for _, guard := range guards {
		w.must(store.Exec(w.DB, guard))
	}
}

// finds verifies, and wants a finding of the check that says this.
func (w *world) finds(check meter.Check, says string) {
	w.t.Helper()
	r := w.verify()
	for _, f := range r.Findings {
		if f.Check == check && strings.Contains(f.Message, says) {
			return
		}
	}
	w.t.Errorf("no finding of %s says %q: %+v", check, says, r.Findings)
}

// A row is covered from its opening on, not only when its hour is closed.
func TestVerifyFindsAChangedOpenRow(t *testing.T) {
	const cpu = `WHERE ended_at IS NULL AND slot = 'cpu'`
	put := func(slot, state, from string) string {
		return `INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at)
			SELECT tenant_id, resource_id, resource, '` + slot + `', 'vcpu', 64, '` + state + `', ` + from + ` FROM usage_interval ` + cpu
	}
	for name, tc := range map[string]struct {
		stmt  string
		chain string      // what the chain says
		check meter.Check // and what is found although the chain was made anew
		says  string
	}{
		"another amount":       {`UPDATE usage_interval SET amount = 64 ` + cpu, "does not fit", meter.CheckOpen, "counted with 64"},
		"another state":        {`UPDATE usage_interval SET state = 'paused' ` + cpu, "does not fit", meter.CheckOpen, "as paused"},
		"another tenant":       {`UPDATE usage_interval SET tenant_id = (SELECT id FROM tenant WHERE name = 'acme') ` + cpu, "does not fit", meter.CheckOrphan, "is still counted"},
		"an earlier beginning": {`UPDATE usage_interval SET started_at = started_at - 1200000 ` + cpu, "does not fit", meter.CheckOpen, "it was made at"},
		"a forged slot":        {put("cpu2", "running", "started_at"), "not covered by the chain", meter.CheckOpen, "nothing that was seen"},
		"taken out":            {`DELETE FROM usage_interval ` + cpu, "it is not there", meter.CheckOpen, "its cpu is not counted"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.newTenant("acme")
			w.run("web1")
			w.later(10 * time.Minute)
			w.sound()
			w.byHand(tc.stmt)
			w.finds(meter.CheckChain, tc.chain)
			if name != "a forged slot" && name != "taken out" { // those have no link to be made anew
				w.forge()
			}
			w.finds(tc.check, tc.says)
		})
	}
}

// A row that was dropped keeps what the link of its opening covers.
func TestADroppedRowStaysCoveredAsItWasOpened(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.record(w.stopped(i)) // at once
	w.sound()
	w.byHand(`UPDATE usage_drop SET state = 'stopped' WHERE slot = 'cpu'`)
	w.finds(meter.CheckChain, "does not fit")
}

// The openings of what an older lodge has left open are covered once, when its file
// is opened; what is put in afterwards is not.
func TestOldOpeningsAreCoveredOnce(t *testing.T) {
	w := newWorld(t)
	w.run("web1")
	w.byHand(`DELETE FROM usage_seal WHERE kind = 'opened'`, `UPDATE usage_opening SET from_seq = 100`)
	renumber := `UPDATE usage_seal SET n = (SELECT COUNT(*) FROM usage_seal o WHERE o.n <= usage_seal.n)`
	w.byHand(renumber)
	w.forge()
	w.must(w.Close())
	w = w.copyTo(t.TempDir())
	n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_seal WHERE kind = 'opened'`)
	if open := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_interval WHERE ended_at IS NULL`); n != open || n == 0 {
		t.Fatalf("%d openings are covered, %d rows are open", n, open)
	}
	w.sound()
	w.must(store.Exec(w.DB, `INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at)
		SELECT tenant_id, resource_id, resource, 'cpu2', 'vcpu', 9, 'running', started_at FROM usage_interval WHERE slot = 'cpu'`))
	w.must(w.Close())
	w = w.copyTo(t.TempDir())
	w.finds(meter.CheckChain, "not covered by the chain")
}

// A row of usage_recount is no reason for an hour to differ: only what the chain
// covers since is.
func TestARecountByHandMakesNothingOfficial(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(2*time.Hour + 10*time.Minute)
	w.closeHours()
	w.sound()
	all := `INSERT INTO usage_recount SELECT hour, tenant_id FROM usage_hour`
	w.byHand(`UPDATE usage_interval SET amount = 64 WHERE ended_at IS NULL AND slot = 'cpu'`, all)
	w.finds(meter.CheckHour, "was closed with")
	before := w.closed()
	w.closeHours()
	w.later(time.Minute)
	w.closeHours()
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_hour WHERE revision > 1`); n != 0 {
		t.Errorf("%d hours were corrected: %v", n, w.closed())
	}
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_recount`); n != 0 || len(before) == 0 {
		t.Errorf("%d hours wait on", n)
	}
	if got := w.eventTypes(w.tenant.ID); !slices.Contains(got, "usage.correction_refused") {
		t.Errorf("the events are %v", got)
	}
	w.finds(meter.CheckHour, "was closed with")

	// Undone, all is as it was; a true late truth is still a correction, also of hours
	// that somebody has asked for by hand.
	w.byHand(`UPDATE usage_interval SET amount = 1 WHERE ended_at IS NULL AND slot = 'cpu'`, all)
	w.sound()
	r := w.stopped(w.instance(i.ID))
	r.EndAt, r.Evidence = noon.Add(30*time.Minute), cloud.EvidenceLog
	w.record(r)
	if p := w.sound(); p.Pending == 0 {
		t.Error("nothing is pending")
	}
	w.later(time.Minute)
	w.closeHours()
	w.sound()
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_hour WHERE revision = 2`); n != 2 {
		t.Errorf("%d hours were corrected", n)
	}
	// And a second late truth about hours that were corrected once.
	_, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	gone := w.gone(w.instance(i.ID))
	gone.EndAt, gone.Evidence = noon.Add(40*time.Minute), cloud.EvidenceLog
	w.record(gone)
	w.sound()
	w.later(time.Minute)
	w.closeHours()
	w.sound()
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_hour WHERE revision = 3`); n != 2 {
		t.Errorf("%d hours were corrected again", n)
	}
}

// What was dropped or written as bytes since an hour was closed explains it too.
func TestLateDropsAndBytesExplainACorrection(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.later(90 * time.Minute)
	w.record(w.stopped(i))
	w.later(10 * time.Minute)
	w.record(w.running(i))
	w.later(80 * time.Minute)
	w.closeHours()
	w.moved(i, nics("vnet0", 1<<20, 1<<10)) // some of it is of hours that are closed
	r := w.stopped(w.instance(i.ID))
	r.EndAt, r.Evidence = noon.Add(95*time.Minute), cloud.EvidenceLog // it never ran again
	w.record(r)
	if p := w.sound(); p.Pending == 0 || store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_drop`) == 0 {
		t.Fatalf("nothing is late: %+v", p)
	}
	w.later(time.Minute)
	w.closeHours()
	w.sound()
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_hour WHERE revision = 2`); n == 0 {
		t.Error("nothing was corrected")
	}
	if got := w.eventTypes(w.tenant.ID); slices.Contains(got, "usage.correction_refused") {
		t.Errorf("the events are %v", got)
	}
}

// Meters that somebody took away run again with the next record.
func TestWhatIsNotCountedIsFound(t *testing.T) {
	w := newWorld(t)
	i, other := w.run("web1"), w.run("web2")
	w.record(w.running(other)) // now it is known that nothing changes
	w.later(time.Minute)
	if ids, err := w.UnmeteredInstances(ctx, hostID); err != nil || len(ids) != 0 {
		t.Fatalf("%v %v", ids, err)
	}
	w.byHand(`DELETE FROM usage_interval WHERE slot = 'cpu' AND resource_id = '` + other.ID + `'`)
	ids, err := w.UnmeteredInstances(ctx, hostID)
	if err != nil || !slices.Equal(ids, []string{other.ID}) {
		t.Fatalf("%v %v, want %s, not %s", ids, err, other.ID, i.ID)
	}
	w.record(w.running(other))
	for _, iv := range w.intervals(other.ID) {
		if iv.Slot == "cpu" && iv.StartedAt.Equal(w.now) {
			return
		}
	}
	t.Errorf("got %v", w.ledger(other.ID))
}
