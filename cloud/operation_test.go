package cloud_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"lodge/cloud"
)

var waits = &cloud.Problem{Code: cloud.CodeDiskMissing, Message: "The root disk is gone."}

// on is an instance that has come to all that was wanted at generation 3.
func on(change func(*cloud.Standing)) cloud.Standing {
	s := cloud.Standing{
		Wanted: cloud.OperationWant{Power: cloud.PowerOn, Name: "web1", VCPUs: 2, MemoryMiB: 4096},
		State:  cloud.StateRunning, Observed: 3, Decided: 3, Boots: 1,
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestWhatBecomesOfAnOperationOnAnInstance(t *testing.T) {
	op := func(kind cloud.OperationKind, want cloud.OperationWant) cloud.Operation {
		return cloud.Operation{Kind: kind, Generation: 3, Want: want}
	}
	create := op(cloud.OperationInstanceCreate, cloud.OperationWant{})
	start := op(cloud.OperationInstanceStart, cloud.OperationWant{Power: cloud.PowerOn})
	stop := op(cloud.OperationInstanceStop, cloud.OperationWant{Power: cloud.PowerOff})
	reboot := op(cloud.OperationInstanceReboot, cloud.OperationWant{Power: cloud.PowerOn})
	reboot.Boots = 2
	size := op(cloud.OperationInstanceUpdate, cloud.OperationWant{VCPUs: 2})
	name := op(cloud.OperationInstanceUpdate, cloud.OperationWant{Name: "web1"})
	remove := op(cloud.OperationInstanceDelete, cloud.OperationWant{})
	off := func(s *cloud.Standing) { s.Wanted.Power, s.State = cloud.PowerOff, cloud.StateStopped }

	for _, tc := range []struct {
		name string
		op   cloud.Operation
		s    cloud.Standing
		want cloud.OperationState
	}{
		{"a create that runs", create, on(nil), cloud.OperationSucceeded},
		{"a create that was observed by a newer wish", create, on(func(s *cloud.Standing) { s.Observed = 9 }), cloud.OperationSucceeded},
		{"a create of a stopped one", create, on(off), cloud.OperationSucceeded},
		{"a create that is not observed", create, on(func(s *cloud.Standing) { s.Observed = 2 }), cloud.OperationRunning},
		{"a create that builds", create, on(func(s *cloud.Standing) { s.State = cloud.StateBuilding }), cloud.OperationRunning},
		{"a create that is to be stopped and runs yet", create, on(func(s *cloud.Standing) { s.Wanted.Power = cloud.PowerOff }), cloud.OperationRunning},
		{"a create that was deleted", create, on(func(s *cloud.Standing) { s.Deleted = true }), cloud.OperationSuperseded},
		{"a create that waits for a person", create, on(func(s *cloud.Standing) { s.State, s.Observed, s.Waits = cloud.StateError, 2, waits }), cloud.OperationFailed},
		{"a start that runs", start, on(nil), cloud.OperationSucceeded},
		{"a start that is paused", start, on(func(s *cloud.Standing) { s.State = cloud.StatePaused }), cloud.OperationRunning},
		{"a start that a stop took back", start, on(off), cloud.OperationSuperseded},
		{"a start with the problem of an older wish", start, on(func(s *cloud.Standing) { s.Observed, s.Decided, s.Waits = 2, 2, waits }), cloud.OperationRunning},
		{"a stop that is off", stop, on(off), cloud.OperationSucceeded},
		{"a stop that sleeps", stop, on(func(s *cloud.Standing) { off(s); s.State = cloud.StateSleeping }), cloud.OperationSucceeded},
		{"a stop that is being done", stop, on(func(s *cloud.Standing) { off(s); s.State, s.Observed = cloud.StateRunning, 2 }), cloud.OperationRunning},
		{"a stop that a start took back", stop, on(nil), cloud.OperationSuperseded},
		{"a reboot that was done", reboot, on(func(s *cloud.Standing) { s.Boots = 2 }), cloud.OperationSucceeded},
		{"a reboot done with a later one", reboot, on(func(s *cloud.Standing) { s.Boots = 5 }), cloud.OperationSucceeded},
		{"a reboot that was not done", reboot, on(nil), cloud.OperationRunning},
		{"a reboot that a stop took back", reboot, on(off), cloud.OperationSuperseded},
		{"a size that the host knows", size, on(off), cloud.OperationSucceeded},
		{"a size that became another", size, on(func(s *cloud.Standing) { s.Wanted.VCPUs = 8 }), cloud.OperationSuperseded},
		{"a size beside another memory", size, on(func(s *cloud.Standing) { s.Wanted.MemoryMiB = 1 }), cloud.OperationSucceeded},
		{"a name that the host knows", name, on(nil), cloud.OperationSucceeded},
		{"a name that became another", name, on(func(s *cloud.Standing) { s.Wanted.Name = "web2" }), cloud.OperationSuperseded},
		{"a name of another size", name, on(func(s *cloud.Standing) { s.Wanted.VCPUs = 8 }), cloud.OperationSucceeded},
		{"a delete that goes on", remove, on(func(s *cloud.Standing) { s.Deleted = true }), cloud.OperationRunning},
		{"a delete that is done", remove, on(func(s *cloud.Standing) { s.Deleted, s.State = true, cloud.StateGone }), cloud.OperationSucceeded},
		{"a delete in spite of an old problem", remove, on(func(s *cloud.Standing) { s.Deleted, s.Decided, s.Waits = true, 2, waits }), cloud.OperationRunning},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, why := tc.op.OnInstance(tc.s)
			if got != tc.want {
				t.Fatalf("got %s (%v), want %s", got, why, tc.want)
			}
			explained := got == cloud.OperationFailed || got == cloud.OperationSuperseded
			if explained != (why != nil) || why != nil && (why.Code == "" || why.Message[len(why.Message)-1] != '.') {
				t.Errorf("%s is explained by %+v", got, why)
			}
		})
	}
}

func TestWhatBecomesOfAnOperationOnAnImage(t *testing.T) {
	imports := cloud.Operation{Kind: cloud.OperationImageImport}
	remove := cloud.Operation{Kind: cloud.OperationImageDelete}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	late := &cloud.Problem{Code: cloud.CodeURLFailed, Message: "The server is away.", RetryAt: now}
	for _, tc := range []struct {
		name string
		op   cloud.Operation
		img  cloud.Image
		want cloud.OperationState
		code cloud.Code
	}{
		{"queued", imports, cloud.Image{State: cloud.ImageQueued}, cloud.OperationRunning, ""},
		{"tried again", imports, cloud.Image{State: cloud.ImageQueued, Problem: late}, cloud.OperationRunning, ""},
		{"importing", imports, cloud.Image{State: cloud.ImageImporting}, cloud.OperationRunning, ""},
		{"active", imports, cloud.Image{State: cloud.ImageActive}, cloud.OperationSucceeded, ""},
		{"given up", imports, cloud.Image{State: cloud.ImageError, Problem: late}, cloud.OperationFailed, cloud.CodeURLFailed},
		{"given up without a reason", imports, cloud.Image{State: cloud.ImageError}, cloud.OperationFailed, cloud.CodeInternal},
		{"deleted meanwhile", imports, cloud.Image{State: cloud.ImageImporting, DeletedAt: now}, cloud.OperationSuperseded, cloud.CodeConflict},
		{"being deleted", remove, cloud.Image{State: cloud.ImageActive, DeletedAt: now}, cloud.OperationRunning, ""},
		{"gone", remove, cloud.Image{State: cloud.ImageGone, DeletedAt: now}, cloud.OperationSucceeded, ""},
	} {
		got, why := tc.op.OnImage(tc.img)
		if got != tc.want || (why == nil) != (tc.code == "") || why != nil && why.Code != tc.code {
			t.Errorf("%s: got %s %+v", tc.name, got, why)
		}
	}
}

func TestWhatMayBeCancelled(t *testing.T) {
	running := func(kind cloud.OperationKind) cloud.Operation {
		return cloud.Operation{Kind: kind, State: cloud.OperationRunning, Name: "web1"}
	}
	ended := running(cloud.OperationInstanceCreate)
	ended.State = cloud.OperationSucceeded
	for _, tc := range []struct {
		op      cloud.Operation
		subject string
		may     bool
	}{
		{running(cloud.OperationInstanceCreate), "requested", true},
		{running(cloud.OperationInstanceCreate), "building", true},
		{running(cloud.OperationInstanceCreate), "running", false},
		{ended, "building", false},
		{running(cloud.OperationInstanceStart), "stopped", false},
		{running(cloud.OperationInstanceDelete), "running", false},
		{running(cloud.OperationImageImport), "importing", true},
		{running(cloud.OperationImageDelete), "active", false},
	} {
		err := tc.op.Cancels(tc.subject)
		if (err == nil) != tc.may || err != nil && cloud.CodeOf(err) != cloud.CodeConflict {
			t.Errorf("%s of what is %s: %v", tc.op.Kind, tc.subject, err)
		}
	}
}

// Whatever is asked for and seen in whatever order: what has ended stays ended,
// the newest wish is superseded by none, and once the instance has come to what is
// wanted of it, nothing runs any more.
func TestNothingRunsOnAnInstanceThatHasSettled(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		i := cloud.Instance{Name: "a", VCPUs: 1, MemoryMiB: 1, Power: cloud.PowerOn, Generation: 1, State: cloud.StateRequested}
		decided := int64(0)
		ops := []cloud.Operation{cloud.InstanceOperation(cloud.OperationInstanceCreate, cloud.Instance{}, i)}
		judge := func() {
			s := cloud.Standing{
				Wanted:  cloud.OperationWant{Power: i.Power, Name: i.Name, VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB},
				Deleted: !i.DeletedAt.IsZero(), State: i.State, Observed: i.ObservedGeneration, Boots: i.ObservedBoots, Decided: decided,
			}
			for n := range ops {
				if ops[n].State == cloud.OperationRunning {
					ops[n].State, _ = ops[n].OnInstance(s)
				}
			}
		}
		for range r.IntN(12) {
			if r.IntN(3) == 0 { // a look that finds it half way
				decided = i.Generation
				i.State = []cloud.State{cloud.StateBuilding, cloud.StateRunning, cloud.StatePaused, cloud.StateStopped}[r.IntN(4)]
				judge()
				continue
			}
			before, kind := i, cloud.OperationKinds()[1+r.IntN(5)]
			i.Generation++
			switch kind {
			case cloud.OperationInstanceUpdate:
				i.Name, i.VCPUs, i.MemoryMiB = string('a'+rune(r.IntN(3))), 1+r.IntN(3), 1+r.IntN(3)
			case cloud.OperationInstanceStart:
				i.Power = cloud.PowerOn
			case cloud.OperationInstanceStop:
				i.Power = cloud.PowerOff
			case cloud.OperationInstanceReboot:
				if i.Power == cloud.PowerOff {
					continue
				}
				i.Boots++
			case cloud.OperationInstanceDelete:
				i.DeletedAt = time.Unix(1, 0)
			}
			judge()
			o := cloud.InstanceOperation(kind, before, i)
			ops = append(ops, o)
			judge()
			if last := ops[len(ops)-1].State; last == cloud.OperationSuperseded || last == cloud.OperationFailed {
				t.Fatalf("seed %d: the newest wish, %s, is %s at once", seed, kind, last)
			}
			if kind == cloud.OperationInstanceDelete {
				break
			}
		}
		i.ObservedGeneration, i.ObservedBoots, decided = i.Generation, i.Boots, i.Generation
		i.State = cloud.StateStopped
		if i.Power == cloud.PowerOn {
			i.State = cloud.StateRunning
		}
		if !i.DeletedAt.IsZero() {
			i.State = cloud.StateGone
		}
		judge()
		for _, o := range ops {
			if o.State == cloud.OperationRunning {
				t.Fatalf("seed %d: %s of generation %d still runs on %+v", seed, o.Kind, o.Generation, i)
			}
		}
		if last := ops[len(ops)-1].State; last != cloud.OperationSucceeded {
			t.Fatalf("seed %d: the newest wish, %s, is %s in the end", seed, ops[len(ops)-1].Kind, last)
		}
	}
}
