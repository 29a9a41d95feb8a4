package store_test

import (
	"fmt"
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/store"
)

func names(items []cloud.BulkItem) string {
	var out []string
	for _, i := range items {
		out = append(out, i.Name)
	}
	return strings.Join(out, " ")
}

func TestABulkDeleteTakesWhatTheSelectorFindsInOneTenant(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.activeImage("own", acme.ID, false)
	job := map[string]string{"job": "7"}
	for n := range 3 {
		w.labelled(acme.ID, fmt.Sprintf("job%d", n), job)
	}
	other := w.labelled(acme.ID, "web", nil)
	ours := w.labelled(w.tenant.ID, "job", job)
	f := cloud.Filter{Labels: selector(t, "job=7")}
	c := cloud.Caller{TenantID: acme.ID, UserID: id("user"), Via: "token", RequestID: "r1"}

	dry, err := w.ChangeInstances(ctx, c, w.now, f, cloud.BulkChange{Do: cloud.BulkDelete, DryRun: true})
	w.must(err)
	if names(dry.Changed) != "job0 job1 job2" || dry.Matched != 3 || !dry.DryRun {
		t.Fatalf("got %+v", dry)
	}
	two, three := 2, 3
	_, err = w.ChangeInstances(ctx, c, w.now, f, cloud.BulkChange{Do: cloud.BulkDelete, Expect: &two})
	w.refused(err, cloud.CodePrecondition)
	if left := w.walk(c, cloud.Filter{}, cloud.Page{}); len(left) != 4 || !w.instance(left[0]).DeletedAt.IsZero() {
		t.Fatalf("a dry run or a refusal changed something: %v", left)
	}
	done, err := w.ChangeInstances(ctx, c, w.now, f, cloud.BulkChange{Do: cloud.BulkDelete, Expect: &three})
	w.must(err)
	if names(done.Changed) != "job0 job1 job2" || done.Remaining != 0 || len(done.Skipped) != 0 {
		t.Fatalf("got %+v", done)
	}
	for _, i := range done.Changed {
		if got := w.instance(i.ID); got.DeletedAt.IsZero() || got.Generation != 2 {
			t.Errorf("%s is not deleted: %+v", i.Name, got)
		}
	}
	for _, stays := range []string{other.ID, ours.ID} {
		if !w.instance(stays).DeletedAt.IsZero() {
			t.Errorf("%s is deleted", stays)
		}
	}
	again, err := w.ChangeInstances(ctx, c, w.now, f, cloud.BulkChange{Do: cloud.BulkDelete})
	w.must(err)
	if again.Matched != 0 || len(again.Changed) != 0 {
		t.Errorf("a second time: %+v", again)
	}
	log, err := w.Audit(ctx, operator, cloud.AuditFilter{TenantID: acme.ID, Action: "instance.delete"})
	w.must(err)
	if len(log) != 3 || log[0].UserID != c.UserID || log[0].RequestID != "r1" || log[2].Name != "job0" {
		t.Errorf("the audit log has %+v", log)
	}
	if got := store.Query(t, w.DB, `SELECT COUNT(*) FROM volume WHERE deleted_at IS NOT NULL`); got[0] != "3" {
		t.Errorf("%s volumes go", got[0])
	}
}

func TestABulkChangeIsOfOneTenant(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.create("web1")
	_, err := w.ChangeInstances(ctx, operator, w.now, cloud.Filter{}, cloud.BulkChange{Do: cloud.BulkDelete})
	w.refused(err, cloud.CodeInvalid)
	_, err = w.ChangeInstances(ctx, cloud.Caller{TenantID: acme.ID}, w.now, cloud.Filter{TenantID: w.tenant.ID}, cloud.BulkChange{Do: cloud.BulkDelete})
	w.refused(err, cloud.CodeNotFound)
	_, err = w.ChangeInstances(ctx, operator, w.now, cloud.Filter{TenantID: id("nobody")}, cloud.BulkChange{Do: cloud.BulkDelete})
	w.refused(err, cloud.CodeNotFound)
	_, err = w.ChangeInstances(ctx, operator, w.now, cloud.Filter{TenantID: w.tenant.ID}, cloud.BulkChange{Do: "rename"})
	w.refused(err, cloud.CodeInvalid)
	r, err := w.ChangeInstances(ctx, cloud.Caller{TenantID: acme.ID}, w.now, cloud.Filter{}, cloud.BulkChange{Do: cloud.BulkDelete})
	w.must(err)
	if r.Matched != 0 {
		t.Errorf("acme reaches %+v", r)
	}
}

func TestBulkStopAndStart(t *testing.T) {
	w := newWorld(t)
	a, b := w.run("a"), w.run("b")
	off := w.wanted("off")
	off.Stopped = true
	_, err := w.CreateInstance(ctx, operator, w.now, off)
	w.must(err)
	c := cloud.Caller{TenantID: w.tenant.ID}
	power := func(do cloud.BulkAction, force bool, want string) {
		t.Helper()
		r, err := w.ChangeInstances(ctx, c, w.now, cloud.Filter{}, cloud.BulkChange{Do: do, Force: force})
		w.must(err)
		if names(r.Changed) != want {
			t.Errorf("%s: got %q, want %q", do, names(r.Changed), want)
		}
	}
	both := names([]cloud.BulkItem{{Name: "a"}, {Name: "b"}})
	if a.ID > b.ID { // both were made in one instant
		both = "b a"
	}
	power(cloud.BulkStop, false, both)
	if got := w.instance(a.ID); got.Power != cloud.PowerOff || got.PowerForce {
		t.Errorf("got %+v", got)
	}
	power(cloud.BulkStop, false, "")
	r, err := w.ChangeInstances(ctx, c, w.now, cloud.Filter{Name: "a"}, cloud.BulkChange{Do: cloud.BulkStop, Force: true})
	w.must(err)
	if names(r.Changed) != "a" || !w.instance(a.ID).PowerForce {
		t.Errorf("by force: %+v", r)
	}
	r, err = w.ChangeInstances(ctx, c, w.now, cloud.Filter{NamePrefix: "o"}, cloud.BulkChange{Do: cloud.BulkStart})
	w.must(err)
	if names(r.Changed) != "off" {
		t.Errorf("start: %+v", r)
	}
}

func TestABulkChangeIsBounded(t *testing.T) {
	w := newWorldWith(t, roomy)
	w.multiply(w.labelled(w.tenant.ID, "first", map[string]string{"job": "7"}).ID, 1, cloud.MaxBulk+5)
	c := cloud.Caller{TenantID: w.tenant.ID}
	f := cloud.Filter{Labels: selector(t, "job=7")}
	r, err := w.ChangeInstances(ctx, c, w.now, f, cloud.BulkChange{Do: cloud.BulkDelete})
	w.must(err)
	if r.Matched != cloud.MaxBulk+6 || len(r.Changed) != cloud.MaxBulk || r.Remaining != 6 {
		t.Fatalf("got %d of %d, %d remain", len(r.Changed), r.Matched, r.Remaining)
	}
	r, err = w.ChangeInstances(ctx, c, w.now, f, cloud.BulkChange{Do: cloud.BulkDelete})
	w.must(err)
	if len(r.Changed) != 6 || r.Remaining != 0 {
		t.Fatalf("got %d, %d remain", len(r.Changed), r.Remaining)
	}
}
