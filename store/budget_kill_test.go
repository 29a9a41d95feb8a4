package store_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// actsPath says to this test binary that it is to have the budgets of the database
// at the path act, and to be killed before the statement with the number.
const actsPath, actsAt = "LODGE_TEST_ACTS_PATH", "LODGE_TEST_ACTS_AT"

func actUntilKilled(path string) {
	at, err := strconv.Atoi(os.Getenv(actsAt))
	if err != nil {
		panic(err)
	}
	db, err := store.OpenWith(path, roomy)
	if err != nil {
		panic(err)
	}
	n := 0
	store.AtStatement(func() {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	k := meter.Keeper{Purse: db, Now: func() time.Time { return noon.Add(2 * time.Hour) }, Log: quietLog()}
	if _, err := k.Keep(ctx); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// Whatever statement a kill comes before, all of an action is there or nothing of
// it, and the next lodged does it once.
func TestABudgetThatIsKilledWhileItActs(t *testing.T) {
	w, i := spending(t)
	hook, err := w.CreateWebhook(ctx, operator, w.now, cloud.IssuedWebhook{Webhook: cloud.Webhook{ID: id("hook"), TenantID: w.tenant.ID, Name: "chat", URL: "https://hooks.example.com/"}, Secret: make([]byte, 32)})
	w.must(err)
	b := w.aBudget("dev", stops(100, 0), func(b *cloud.Budget) { b.WebhookID = hook.ID })
	w.now = noon.Add(2 * time.Hour)
	check := func(at int, must bool) {
		t.Helper()
		crossed, told := 0, 0
		for _, typ := range w.eventTypes(b.ID) {
			if typ == "budget.crossed" {
				crossed++
			}
		}
		for _, typ := range w.eventTypes(i.ID) {
			if typ == "instance.stop" {
				told++
			}
		}
		due, _, err := w.DueDeliveries(ctx, w.now, nil, 10)
		w.must(err)
		is := w.instance(i.ID)
		got := fmt.Sprint(crossed, told, len(due), w.crossings(b), is.Power, is.StoppedBy.ID)
		all := fmt.Sprint(1, 1, 1, 1, cloud.PowerOff, b.ID)
		if got != all && (must || got != fmt.Sprint(0, 0, 0, 0, cloud.PowerOn, "")) {
			t.Fatalf("killed before statement %d: %s", at, got)
		}
	}
	w.must(w.Close())
	for at := 1; ; at++ {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), actsPath+"="+w.path, actsAt+"="+strconv.Itoa(at))
		out, err := child.CombinedOutput()
		killed := err != nil
		if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); killed && (!ok || status.Signal() != syscall.SIGKILL) {
			t.Fatalf("statement %d: %v: %s", at, err, out)
		}
		db, err := store.OpenWith(w.path, roomy)
		w.must(err)
		w.DB = db
		check(at, false)
		if !killed {
			if at < 5 {
				t.Errorf("it acts with %d statements", at-1)
			}
			w.keep(w.keeper())
			check(at, true)
			w.must(db.Close())
			return
		}
		w.must(db.Close())
	}
}
