package store_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// many is more instances than two transactions stop or start.
const many = 2*cloud.MaxBulk + 500

// multitude is a world in which very many instances with the label env=dev run.
func multitude(t *testing.T) *world {
	w := newWorldWith(t, roomy)
	for _, r := range []cloud.Resource{cloud.ResourceInstances, cloud.ResourceVCPUs, cloud.ResourceMemory, cloud.ResourceDisk, cloud.ResourceVolumes, cloud.ResourcePorts} {
		w.must(w.SetQuotas(ctx, operator, w.now, w.tenant.ID, map[cloud.Resource]*int64{r: nil}))
	}
	w.multiply(w.dev("model").ID, 1, many-1)
	w.must(store.Exec(w.DB, `UPDATE instance SET labels = '{"env":"dev"}', memory_mib = 256`))
	return w
}

func (w *world) count(query string) int { w.t.Helper(); return store.Count(w.t, w.DB, query) }

func (w *world) held() int {
	return w.count(`SELECT COUNT(*) FROM instance WHERE power = 'stopped' AND stopped_by_id <> ''`)
}

func (w *world) startsTold() int {
	return w.count(`SELECT COUNT(*) FROM event WHERE type = 'instance.start'`)
}

func (w *world) reopened() {
	w.t.Helper()
	w.must(w.Close())
	db, err := store.OpenWith(w.path, roomy)
	w.must(err)
	w.DB = db
	w.t.Cleanup(func() { _ = db.Close() })
}

// A budget that holds thousands of instances is deleted in parts: each is one
// transaction, what is left is shown, and a kill in the middle of one costs that
// part and nothing else.
func TestABudgetThatHoldsThousandsIsDeletedInParts(t *testing.T) {
	w := multitude(t)
	b := w.aBudget("dev", stops(100, 0))
	reached := func(b cloud.Budget, u cloud.BudgetUsage, now time.Time) cloud.BudgetState {
		s := meter.JudgeBudget(b, u, now)
		s.Reached[0] = true
		return s
	}
	for more := true; more; {
		var err error
		more, err = w.ActBudget(ctx, w.now, b.ID, reached)
		w.must(err)
	}
	if got := w.held(); got != many {
		t.Fatalf("%d of %d are stopped", got, many)
	}
	dry := operator
	dry.DryRun = true
	start := func() error {
		_, err := w.PowerInstance(ctx, dry, w.now, store.Query(t, w.DB, `SELECT id FROM instance WHERE power = 'stopped' LIMIT 1`)[0], cloud.PowerStart, false)
		return err
	}
	w.refused(start(), cloud.CodeBudget)
	began := time.Now()
	gone, left, err := w.DeleteBudget(ctx, operator, w.now, b.ID)
	w.must(err)
	t.Logf("the first part took %v", time.Since(began))
	shown := func(held int) {
		t.Helper()
		is, err := w.Budget(ctx, operator, b.ID)
		w.must(err)
		if is.DeletedAt.IsZero() || is.Holds != held || len(is.Crossings) != 0 || w.held() != held || w.startsTold() != many-held {
			t.Fatalf("%+v; %d are stopped, %d starts", is, w.held(), w.startsTold())
		}
	}
	if !left || gone.DeletedAt.IsZero() || gone.Holds != many-cloud.MaxBulk {
		t.Fatalf("left %v: %+v", left, gone)
	}
	shown(many - cloud.MaxBulk)
	// It refuses nothing any more, takes no change, and to delete it again is no news.
	if err := start(); cloud.CodeOf(err) == cloud.CodeBudget {
		t.Errorf("what is deleted refuses: %v", err)
	}
	_, err = w.UpdateBudget(ctx, operator, w.now, b.ID, cloud.BudgetChange{Amount: ptr("5")}, meter.JudgeBudget)
	w.refused(err, cloud.CodeConflict)
	events := len(w.eventTypes(b.ID))
	if _, again, err := w.DeleteBudget(ctx, operator, w.now, b.ID); err != nil || !again || len(w.eventTypes(b.ID)) != events {
		t.Fatalf("again: %v, left %v", err, again)
	}

	w.must(w.Close())
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), actsPath+"="+w.path, actsAt+"="+strconv.Itoa(cloud.MaxBulk))
	out, err := child.CombinedOutput()
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v: %s", err, out)
	}
	w.DB, err = store.OpenWith(w.path, roomy)
	w.must(err)
	shown(many - cloud.MaxBulk)
	k := w.keeper()
	if next := w.keep(k); !next.Equal(w.now) {
		t.Errorf("there is more to do, and the keeper waits until %v", next)
	}
	shown(many - 2*cloud.MaxBulk)
	w.keep(k)
	_, err = w.Budget(ctx, operator, b.ID)
	w.refused(err, cloud.CodeNotFound)
	if w.held() != 0 || w.startsTold() != many {
		t.Errorf("%d are stopped, %d were started", w.held(), w.startsTold())
	}
	if again := w.count(`SELECT COUNT(*) FROM (SELECT 1 FROM event WHERE type = 'instance.start' GROUP BY subject_id HAVING COUNT(*) > 1)`); again != 0 {
		t.Errorf("%d were started twice", again)
	}
}

// The same of a schedule: of one that is deleted, one that is switched off, and one
// whose time to start has come.
func TestAScheduleThatHoldsThousandsLetsThemGoInParts(t *testing.T) {
	for name, end := range map[string]func(*world, cloud.Schedule){
		"deleted": func(w *world, s cloud.Schedule) {
			is, left, err := w.DeleteSchedule(ctx, operator, w.now, s.ID)
			w.must(err)
			if !left || is.DeletedAt.IsZero() || is.Holds != many-cloud.MaxBulk {
				t.Errorf("left %v: %+v", left, is)
			}
			_, err = w.UpdateSchedule(ctx, operator, w.now, s.ID, cloud.ScheduleChange{Name: ptr("x")}, func(cloud.Schedule) error { return nil })
			w.refused(err, cloud.CodeConflict)
		},
		"off": func(w *world, s cloud.Schedule) {
			no := false
			is, err := w.UpdateSchedule(ctx, operator, w.now, s.ID, cloud.ScheduleChange{Enabled: &no}, func(cloud.Schedule) error { return nil })
			w.must(err)
			if is.Holds != many-cloud.MaxBulk {
				t.Errorf("%+v", is)
			}
		},
		"morning": func(w *world, s cloud.Schedule) {
			is, err := w.Schedule(ctx, operator, s.ID)
			w.must(err)
			w.later(12 * time.Hour)
			_, err = w.ApplySchedule(ctx, w.now, is, cloud.ScheduleStart, w.now.Add(-time.Minute))
			w.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := multitude(t)
			s := w.nights()
			w.now = w.apply()
			w.apply()
			if got := w.held(); got != many {
				t.Fatalf("%d of %d are stopped", got, many)
			}
			end(w, s)
			if got := w.held(); got != many-cloud.MaxBulk {
				t.Fatalf("after the first part %d are stopped", got)
			}
			more, err := w.ReleaseSchedule(ctx, w.now, s.ID)
			w.must(err)
			if is, err := w.Schedule(ctx, operator, s.ID); err != nil || !more || is.Holds != many-2*cloud.MaxBulk {
				t.Fatalf("after the second part %+v, %v", is, err)
			}
			w.reopened() // and whoever comes back goes on
			w.apply()
			_, err = w.Schedule(ctx, operator, s.ID)
			if name == "deleted" {
				w.refused(err, cloud.CodeNotFound)
			} else {
				w.must(err)
			}
			if w.held() != 0 || w.startsTold() != many {
				t.Errorf("%d are stopped, %d were started", w.held(), w.startsTold())
			}
			if open := w.count(`SELECT COUNT(*) FROM schedule_rest WHERE until_at IS NULL`); open != 0 {
				t.Errorf("%d rest still", open)
			}
		})
	}
}

// A list of budgets finds what each holds by the index.
func TestWhatABudgetHoldsIsFoundByItsIndex(t *testing.T) {
	w := newWorld(t)
	for _, table := range []string{"budget", "schedule"} {
		plan := store.Plan(t, w.DB, fmt.Sprintf(`SELECT (SELECT COUNT(*) FROM instance i WHERE i.stopped_by_id = %[1]s.id AND i.stopped_by_id <> '' AND i.deleted_at IS NULL) FROM %[1]s`, table))
		if want := "instance_stopped_by"; !strings.Contains(plan, want) {
			t.Errorf("%s: %s", table, plan)
		}
	}
}
