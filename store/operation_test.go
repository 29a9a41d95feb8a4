package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/store"
)

// follows is a caller who follows what it begins, as those of the API do.
func follows(c cloud.Caller) cloud.Caller {
	c.Begin = &cloud.Begin{NewID: func() string { return uuid.Must(uuid.NewV7()).String() }}
	return c
}

// begun is the only operation that the caller began.
func (w *world) begun(c cloud.Caller) string {
	w.t.Helper()
	if len(c.Begin.Begun) != 1 {
		w.t.Fatalf("%d operations were begun: %v", len(c.Begin.Begun), c.Begin.Begun)
	}
	return c.Begin.Begun[0]
}

func (w *world) operation(id string) cloud.Operation {
	w.t.Helper()
	o, err := w.Operation(ctx, operator, id)
	w.must(err)
	return o
}

// stands checks the state of an operation, and that what is said of it fits.
func (w *world) stands(id string, want cloud.OperationState) cloud.Operation {
	w.t.Helper()
	o := w.operation(id)
	if o.State != want {
		w.t.Fatalf("%s is %s (%+v), want %s", o.Kind, o.State, o.Error, want)
	}
	if (o.State == cloud.OperationRunning) != o.EndedAt.IsZero() {
		w.t.Fatalf("%s is %s and ended at %v", o.Kind, o.State, o.EndedAt)
	}
	return o
}

func (w *world) createFollowed(name string) (cloud.Instance, string) {
	w.t.Helper()
	c := follows(operator)
	i, err := w.CreateInstance(ctx, c, w.now, w.wanted(name))
	w.must(err)
	return i, w.begun(c)
}

// powered asks for a power change and gives the operation, "" when none was begun.
func (w *world) powered(i cloud.Instance, p cloud.PowerChange) string {
	w.t.Helper()
	c := follows(operator)
	_, err := w.PowerInstance(ctx, c, w.now, i.ID, p, false)
	w.must(err)
	if len(c.Begin.Begun) == 0 {
		return ""
	}
	return w.begun(c)
}

func TestACreateIsAnOperationUntilTheInstanceRuns(t *testing.T) {
	w := newWorld(t)
	c := follows(cloud.Caller{TenantID: w.tenant.ID, Role: cloud.RoleMember, UserID: id("ada"), UserName: "ada", TokenID: id("token"), Via: "token", RequestID: "r1"})
	i, err := w.CreateInstance(ctx, c, w.now, w.wanted("web1"))
	w.must(err)
	op := w.begun(c)
	want := cloud.Operation{
		ID: op, TenantID: w.tenant.ID, Kind: cloud.OperationInstanceCreate, State: cloud.OperationRunning,
		Subject: cloud.Ref{Kind: cloud.KindInstance, ID: i.ID}, Name: "web1", Generation: 1,
		UserID: id("ada"), UserName: "ada", TokenID: id("token"), Via: "token", RequestID: "r1", CreatedAt: noon, UpdatedAt: noon,
	}
	if diff := cmp.Diff(want, w.operation(op)); diff != "" {
		t.Fatal(diff)
	}

	w.later(time.Second)
	r := w.running(i)
	r.State, r.Task, r.ObservedGeneration = cloud.StateBuilding, cloud.TaskCreating, 0
	w.record(r)
	w.stands(op, cloud.OperationRunning)

	w.later(time.Second)
	w.record(w.running(i))
	want.State, want.EndedAt, want.UpdatedAt = cloud.OperationSucceeded, w.now, w.now
	if diff := cmp.Diff(want, w.operation(op)); diff != "" {
		t.Fatal(diff)
	}
}

func TestAProblemIsSeenOnTheOperationWhileItIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	i, op := w.createFollowed("web1")
	r := w.stopped(i)
	r.State, r.ObservedGeneration = cloud.StateRequested, 0
	r.Problem = &cloud.Problem{Code: cloud.CodeStorage, Message: "The disk could not be made.", RetryAt: w.now.Add(time.Second), Attempts: 2}
	w.record(r)
	o := w.stands(op, cloud.OperationRunning)
	if o.Problem == nil || o.Problem.Code != cloud.CodeStorage || o.Problem.Attempts != 2 || o.Error != nil {
		t.Fatalf("got %+v", o)
	}
	w.must(w.RecordHostProblem(ctx, hostID, w.now, &cloud.Problem{Code: cloud.CodeHypervisor, Message: "libvirt does not answer."}))
	w.stands(op, cloud.OperationRunning)

	r.State, r.Problem = cloud.StateError, &cloud.Problem{Code: cloud.CodeDiskMissing, Message: "The image is gone from the host."}
	w.record(r)
	o = w.stands(op, cloud.OperationFailed)
	if o.Problem != nil || o.Error == nil || *o.Error != (cloud.OperationError{Code: cloud.CodeDiskMissing, Message: "The image is gone from the host."}) {
		t.Fatalf("got %+v", o)
	}
	// The delete is not blamed for what was wrong before it.
	c := follows(operator)
	_, err := w.DeleteInstance(ctx, c, w.now, i.ID)
	w.must(err)
	if o := w.stands(w.begun(c), cloud.OperationRunning); o.Problem != nil {
		t.Fatalf("got %+v", o.Problem)
	}
}

func TestAProblemOfTheHostEndsNoOperation(t *testing.T) {
	w := newWorld(t)
	i, op := w.createFollowed("web1")
	w.must(w.RecordHostProblem(ctx, hostID, w.now, &cloud.Problem{Code: cloud.CodeHypervisor, Message: "libvirt does not answer."}))
	r := w.stopped(i)
	r.State, r.ObservedGeneration, r.Problem = cloud.StateBuilding, 0, w.instance(i.ID).Problem
	w.record(r)
	if o := w.stands(op, cloud.OperationRunning); o.Problem == nil || o.Problem.Code != cloud.CodeHypervisor {
		t.Fatalf("got %+v", o.Problem)
	}
}

func TestANewerWishTakesThePlaceOfOneThatCannotComeTrue(t *testing.T) {
	w := newWorld(t)
	i, create := w.createFollowed("web1")
	stop := w.powered(i, cloud.PowerStop)
	w.stands(create, cloud.OperationRunning) // the instance is made all the same
	start := w.powered(i, cloud.PowerStart)
	w.stands(stop, cloud.OperationSuperseded)
	if again := w.powered(i, cloud.PowerStart); again != start {
		t.Fatalf("a second start follows %q, and the first is %q", again, start)
	}
	w.record(w.running(w.instance(i.ID)))
	w.stands(create, cloud.OperationSucceeded)
	w.stands(start, cloud.OperationSucceeded)
	if op := w.powered(i, cloud.PowerStart); op != "" {
		t.Fatalf("a start of what runs began %s", w.operation(op).Kind)
	}

	reboot := w.powered(i, cloud.PowerReboot)
	c := follows(operator)
	_, err := w.UpdateInstance(ctx, c, w.now, i.ID, cloud.InstanceChange{VCPUs: ptr(4)})
	w.must(err)
	size := w.begun(c)
	c = follows(operator)
	_, err = w.UpdateInstance(ctx, c, w.now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"a": ptr("b")}}})
	w.must(err)
	if len(c.Begin.Begun) != 0 {
		t.Fatal("labels need no work on the host")
	}
	c = follows(operator)
	_, err = w.DeleteInstance(ctx, c, w.now, i.ID)
	w.must(err)
	remove := w.begun(c)
	for _, op := range []string{reboot, size} {
		if o := w.stands(op, cloud.OperationSuperseded); o.Error.Message != "The instance was deleted meanwhile." {
			t.Fatalf("got %+v", o.Error)
		}
	}
	again := follows(operator)
	_, err = w.DeleteInstance(ctx, again, w.now, i.ID)
	w.must(err)
	if w.begun(again) != remove {
		t.Fatal("a second delete follows another operation")
	}
	w.record(w.gone(w.instance(i.ID)))
	w.stands(remove, cloud.OperationSucceeded)
}

func TestAGuestsOwnStopEndsAReboot(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	reboot := w.powered(i, cloud.PowerReboot)
	i = w.instance(i.ID)
	r := w.stopped(i)
	r.ObservedBoots, r.GuestStopped = 0, true
	w.record(r)
	w.stands(reboot, cloud.OperationSuperseded)
}

func TestAWishThatIsRefusedBeginsNothing(t *testing.T) {
	w := newWorld(t)
	w.create("web1")
	c := follows(operator)
	_, err := w.CreateInstance(ctx, c, w.now, w.wanted("web1"))
	w.refused(err, cloud.CodeNameTaken)
	items, _, err := w.Operations(ctx, operator, cloud.OperationFilter{}, cloud.Page{})
	w.must(err)
	if len(c.Begin.Begun)+len(items) != 0 {
		t.Fatalf("got %v %v", c.Begin.Begun, items)
	}
}

// queued is an image that lodge is to fetch, and its operation.
func (w *world) queued(name string) (cloud.Image, string) {
	w.t.Helper()
	c := follows(operator)
	img, err := w.CreateImage(ctx, c, w.now, cloud.NewImage{
		ID: id("image", name), TenantID: w.tenant.ID, Name: name, Source: cloud.SourceURL, URL: "https://example.org/i", Firmware: cloud.FirmwareBIOS,
	})
	w.must(err)
	return img, w.begun(c)
}

func TestAnImportIsAnOperationWithItsBytes(t *testing.T) {
	w := newWorld(t)
	img, op := w.queued("alpine")
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageImporting}))
	w.must(w.ImageProgress(ctx, img.ID, 30, 100))
	if o := w.stands(op, cloud.OperationRunning); o.BytesDone != 30 || o.BytesTotal != 100 {
		t.Fatalf("got %+v", o)
	}
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageQueued, Problem: &cloud.Problem{
		Code: cloud.CodeURLFailed, Message: "The server went away.", RetryAt: w.now.Add(time.Second), Attempts: 1,
	}}))
	if o := w.stands(op, cloud.OperationRunning); o.Problem == nil || o.Problem.Code != cloud.CodeURLFailed {
		t.Fatalf("got %+v", o)
	}
	w.must(w.RecordImage(ctx, w.later(time.Second), cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{
		Format: cloud.FormatRaw, SHA256: "ab", SizeBytes: 100, VirtualSize: 100,
	}}))
	if o := w.stands(op, cloud.OperationSucceeded); o.BytesDone != 100 || o.BytesTotal != 100 || !o.EndedAt.Equal(w.now) {
		t.Fatalf("got %+v", o)
	}

	c := follows(operator)
	w.must(w.DeleteImage(ctx, c, w.now, img.ID))
	again := follows(operator)
	w.must(w.DeleteImage(ctx, again, w.now, img.ID))
	if w.begun(c) != w.begun(again) {
		t.Fatal("a second delete follows another operation")
	}
	w.stands(w.begun(c), cloud.OperationRunning)
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageGone}))
	w.stands(w.begun(c), cloud.OperationSucceeded)
}

func TestAFailedImportSaysWhy(t *testing.T) {
	w := newWorld(t)
	img, op := w.queued("alpine")
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageError, Problem: &cloud.Problem{Code: cloud.CodeChecksum, Message: "The bytes are others."}}))
	if o := w.stands(op, cloud.OperationFailed); *o.Error != (cloud.OperationError{Code: cloud.CodeChecksum, Message: "The bytes are others."}) {
		t.Fatalf("got %+v", o.Error)
	}

	c := follows(operator)
	upload, err := w.CreateImage(ctx, c, w.now, cloud.NewImage{ID: id("up"), TenantID: w.tenant.ID, Name: "up", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	w.must(err)
	_, err = w.CancelOperation(ctx, follows(operator), w.now, w.begun(c))
	w.refused(err, cloud.CodeConflict) // whoever sends the bytes ends it
	w.must(w.ImageProgress(ctx, upload.ID, 7, 9))
	w.must(w.ForgetImage(ctx, w.now, upload.ID, cloud.Errorf(cloud.CodeImportCanceled, "lodged ended.")))
	if o := w.stands(w.begun(c), cloud.OperationFailed); o.Error.Code != cloud.CodeImportCanceled || o.BytesDone != 7 || o.BytesTotal != 9 {
		t.Fatalf("got %+v", o)
	}
}

func TestCancelDeletesWhatWasBegun(t *testing.T) {
	w := newWorld(t)
	i, op := w.createFollowed("web1")
	c := follows(operator)
	o, err := w.CancelOperation(ctx, c, w.now, op)
	w.must(err)
	if o.State != cloud.OperationCancelled || o.Error != nil || w.instance(i.ID).DeletedAt.IsZero() || !w.rang() {
		t.Fatalf("got %+v of %+v", o, w.instance(i.ID))
	}
	if remove := w.stands(w.begun(c), cloud.OperationRunning); remove.Kind != cloud.OperationInstanceDelete {
		t.Fatalf("got %s", remove.Kind)
	}
	_, err = w.CancelOperation(ctx, operator, w.now, op)
	w.refused(err, cloud.CodeConflict)
	_, err = w.CancelOperation(ctx, operator, w.now, w.begun(c))
	w.refused(err, cloud.CodeConflict)
	w.record(w.gone(w.instance(i.ID)))
	w.stands(w.begun(c), cloud.OperationSucceeded)
	w.stands(op, cloud.OperationCancelled)

	img, imports := w.queued("alpine")
	c = follows(operator)
	_, err = w.CancelOperation(ctx, c, w.now, imports)
	w.must(err)
	w.stands(imports, cloud.OperationCancelled)
	w.stands(w.begun(c), cloud.OperationRunning)
	_, err = w.Image(ctx, operator, img.ID, "")
	w.refused(err, cloud.CodeNotFound)

	entries, err := w.Audit(ctx, operator, cloud.AuditFilter{Action: "operation.cancel"})
	w.must(err)
	if len(entries) != 2 || entries[0].Subject != (cloud.Ref{Kind: cloud.KindOperation, ID: imports}) {
		t.Fatalf("got %+v", entries)
	}
}

func TestAnInstanceThatIsBuiltIsNotCancelled(t *testing.T) {
	w := newWorld(t)
	i, op := w.createFollowed("web1")
	r := w.running(i)
	r.ObservedGeneration, r.Task = 0, cloud.TaskStarting
	w.record(r)
	w.stands(op, cloud.OperationRunning)
	_, err := w.CancelOperation(ctx, operator, w.now, op)
	w.refused(err, cloud.CodeConflict)
	if !w.instance(i.ID).DeletedAt.IsZero() {
		t.Fatal("it was deleted")
	}
}

func TestOperationsOfAnotherTenantAreNotThere(t *testing.T) {
	w := newWorld(t)
	_, op := w.createFollowed("web1")
	other := cloud.Caller{TenantID: w.newTenant("acme").ID, Role: cloud.RoleAdmin, Via: "token"}
	_, err := w.Operation(ctx, other, op)
	w.refused(err, cloud.CodeNotFound)
	_, err = w.WaitOperation(ctx, other, op)
	w.refused(err, cloud.CodeNotFound)
	_, err = w.CancelOperation(ctx, other, w.now, op)
	w.refused(err, cloud.CodeNotFound)
	items, _, err := w.Operations(ctx, other, cloud.OperationFilter{}, cloud.Page{})
	w.must(err)
	if len(items) != 0 {
		t.Fatalf("got %+v", items)
	}
	_, _, err = w.Operations(ctx, other, cloud.OperationFilter{TenantID: w.tenant.ID}, cloud.Page{})
	w.refused(err, cloud.CodeNotFound)
}

func TestOperationsAreListedInPartsAndNarrowed(t *testing.T) {
	w := newWorld(t)
	var all []string
	var last cloud.Instance
	for n := range 7 {
		i, op := w.createFollowed(fmt.Sprint("web", n))
		all, last = append(all, op), i
		w.later(time.Second)
	}
	w.record(w.running(last))
	list := func(f cloud.OperationFilter, limit int) (ids []string) {
		p := cloud.Page{Limit: limit}
		for {
			items, next, err := w.Operations(ctx, operator, f, p)
			w.must(err)
			for _, o := range items {
				ids = append(ids, o.ID)
			}
			if p.Cursor = next; next == "" {
				return ids
			}
		}
	}
	for _, tc := range []struct {
		name string
		f    cloud.OperationFilter
		want []string
	}{
		{"all", cloud.OperationFilter{}, all},
		{"of the tenant", cloud.OperationFilter{TenantID: w.tenant.ID}, all},
		{"running", cloud.OperationFilter{State: cloud.OperationRunning}, all[:6]},
		{"of a kind", cloud.OperationFilter{Kind: cloud.OperationInstanceDelete}, nil},
		{"of an instance", cloud.OperationFilter{SubjectID: last.ID}, all[6:]},
	} {
		for _, limit := range []int{2, 100} {
			if got := list(tc.f, limit); !slices.Equal(got, tc.want) {
				t.Errorf("%s by %d: got %v, want %v", tc.name, limit, got, tc.want)
			}
		}
	}
	_, next, err := w.Operations(ctx, operator, cloud.OperationFilter{}, cloud.Page{Limit: 2})
	w.must(err)
	_, _, err = w.Operations(ctx, operator, cloud.OperationFilter{State: cloud.OperationRunning}, cloud.Page{Limit: 2, Cursor: next})
	w.refused(err, cloud.CodeInvalid)
}

func TestOldOperationsAreForgottenInPartsAndRunningOnesNever(t *testing.T) {
	w := newWorld(t)
	_, running := w.createFollowed("web")
	var ended []string
	for n := range 5 {
		i, op := w.createFollowed(fmt.Sprint("web", n))
		w.record(w.running(i))
		ended = append(ended, op)
	}
	forget := func() int {
		n, err := w.ForgetOperations(ctx, w.now, 2)
		w.must(err)
		return n
	}
	w.later(cloud.OperationKept - time.Millisecond)
	if n := forget(); n != 0 {
		t.Fatalf("%d were forgotten too early", n)
	}
	w.later(time.Millisecond)
	if got := []int{forget(), forget(), forget(), forget()}; !slices.Equal(got, []int{2, 2, 1, 0}) {
		t.Fatalf("got %v", got)
	}
	_, err := w.Operation(ctx, operator, ended[0])
	w.refused(err, cloud.CodeNotFound)
	w.stands(running, cloud.OperationRunning)
}

func TestAnOperationOutlivesItsDaemon(t *testing.T) {
	w := newWorld(t)
	i, op := w.createFollowed("web1")
	_, done := w.createFollowed("web2")
	w.record(w.running(w.instance(w.operation(done).Subject.ID)))
	w.must(w.Close())
	again, err := store.Open(w.path)
	w.must(err)
	t.Cleanup(func() { again.Close() })
	w.DB = again
	w.stands(done, cloud.OperationSucceeded)
	w.stands(op, cloud.OperationRunning)
	w.record(w.running(i))
	w.stands(op, cloud.OperationSucceeded)
}

func TestAllWhoWaitAreWokenAtOnce(t *testing.T) {
	w := newWorld(t)
	i, op := w.createFollowed("web1")
	const waiters = 200
	c := cloud.Caller{TenantID: w.tenant.ID, Role: cloud.RoleViewer}
	var wg sync.WaitGroup
	took := make(chan time.Duration, waiters)
	var recorded time.Time
	for range waiters {
		wg.Go(func() {
			o, err := w.WaitOperation(ctx, c, op)
			if err != nil || o.State != cloud.OperationSucceeded {
				t.Errorf("got %+v, %v", o, err)
			}
			took <- time.Since(recorded)
		})
	}
	w.until(func() bool { return store.Waiters(w.DB) == waiters })
	recorded = time.Now()
	w.record(w.running(i))
	wg.Wait()
	var slowest time.Duration
	for range waiters {
		slowest = max(slowest, <-took)
	}
	t.Logf("the last of %d was told %s after the record began", waiters, slowest)
	if slowest > 5*time.Second {
		t.Error("that is not at once")
	}
	if n := store.Waiters(w.DB); n != 0 {
		t.Errorf("%d are still thought to wait", n)
	}
}

// until waits for what another goroutine does.
func (w *world) until(done func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("it did not come to that")
		}
	}
}

func TestAWaitEndsWithItsTimeAndTheOperationRuns(t *testing.T) {
	w := newWorld(t)
	_, op := w.createFollowed("web1")
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	o, err := w.WaitOperation(short, operator, op)
	w.must(err)
	if o.State != cloud.OperationRunning {
		t.Fatalf("got %s", o.State)
	}
	if n := store.Waiters(w.DB); n != 0 {
		t.Fatalf("%d are still thought to wait", n)
	}
}

func TestTooManyOfOneTenantDoNotKeepOthersFromWaiting(t *testing.T) {
	w := newWorld(t)
	i, op := w.createFollowed("web1")
	c := cloud.Caller{TenantID: w.tenant.ID, Role: cloud.RoleViewer}
	var wg sync.WaitGroup
	wait := func(c cloud.Caller) {
		wg.Go(func() {
			if _, err := w.WaitOperation(ctx, c, op); err != nil {
				t.Error(err)
			}
		})
	}
	for range store.MaxTenantWaiters {
		wait(c)
	}
	w.until(func() bool { return store.Waiters(w.DB) == store.MaxTenantWaiters })
	_, err := w.WaitOperation(ctx, c, op)
	w.refused(err, cloud.CodeRateLimited)
	wait(operator)
	w.until(func() bool { return store.Waiters(w.DB) == store.MaxTenantWaiters+1 })
	w.record(w.running(i))
	wg.Wait()
}

// Whoever waits while the operation ends is told, however close the two are.
func TestNoEndIsMissedByWhoBeginsToWait(t *testing.T) {
	w := newWorld(t)
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for n := range 30 {
		i, op := w.createFollowed(fmt.Sprint("web", n))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if o, err := w.WaitOperation(limit, operator, op); err != nil || o.State != cloud.OperationSucceeded {
					t.Errorf("got %s, %v", o.State, err)
				}
			})
		}
		w.record(w.running(i))
		wg.Wait()
	}
}

func TestTheAnswerThatIsKeptNamesItsOperation(t *testing.T) {
	w := newWorld(t)
	c := follows(operator)
	c.Once = &cloud.Once{Key: "k", Request: func() string { return "r" }, Render: func(any) (cloud.Answer, error) {
		return cloud.Answer{Status: 202, Body: []byte("{}")}, nil
	}}
	_, err := w.CreateInstance(ctx, c, w.now, w.wanted("web1"))
	w.must(err)
	op := w.begun(c)
	_, err = w.CreateInstance(ctx, c, w.now, w.wanted("web1"))
	replay, ok := err.(*cloud.Replay)
	if !ok || replay.Operation != op {
		t.Fatalf("got %+v, want operation %s", err, op)
	}
	if got := w.begun(c); got != op {
		t.Fatalf("the replay began %s", got)
	}
}

func TestTheIndexesOfOperationsAreUsed(t *testing.T) {
	w := newWorld(t)
	for query, index := range map[string]string{
		store.RunningQuery: "operation_by_subject (subject_id=? AND state=?)",
		`SELECT id FROM operation WHERE ended_at <= ? ORDER BY ended_at LIMIT 500`: "operation_by_end (ended_at<?)",
	} {
		if plan := store.Plan(t, w.DB, query, "x"); !strings.Contains(plan, index) {
			t.Errorf("%s is not used:\n%s", index, plan)
		}
	}
}
