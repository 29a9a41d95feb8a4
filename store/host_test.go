package store_test

import (
	"slices"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

func TestAHostIsRegisteredAgainWithoutLosingWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	w.must(w.Heartbeat(ctx, hostID, w.later(time.Minute)))
	w.must(w.RecordHostProblem(ctx, hostID, w.now, &cloud.Problem{Code: cloud.CodeHypervisor, Message: "No answer."}))
	w.must(w.RegisterHost(ctx, w.later(time.Minute), cloud.Host{Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 4, MemoryMiB: 1024, Version: "2", StartedAt: w.now}))
	h, err := w.Host(ctx, hostID)
	w.must(err)
	if h.VCPUs != 4 || h.Version != "2" || !h.StartedAt.Equal(w.now) || !h.HeartbeatAt.Equal(noon.Add(time.Minute)) || h.Problem == nil || !h.CreatedAt.Equal(noon) {
		t.Fatalf("got %+v", h)
	}
	hosts, err := w.Hosts(ctx, operator)
	w.must(err)
	if len(hosts) != 1 {
		t.Fatalf("got %d hosts", len(hosts))
	}
	_, err = w.Hosts(ctx, cloud.Caller{TenantID: w.tenant.ID})
	w.refused(err, cloud.CodeForbidden)
	_, err = w.Host(ctx, id("nothing"))
	w.refused(err, cloud.CodeNotFound)
	w.refused(w.Heartbeat(ctx, id("nothing"), w.now), cloud.CodeNotFound)
	w.refused(w.RecordHostProblem(ctx, id("nothing"), w.now, nil), cloud.CodeNotFound)
}

func TestAHostAdoptsTheNetworksAndImagesThatHaveNone(t *testing.T) {
	w := emptyWorld(t, store.Options{})
	tenant, err := w.EnsureInstallation(ctx, w.now, cloud.NewTenant{ID: id(1), NetworkID: id(2), SubnetID: id(3)})
	w.must(err)
	img, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{ID: id(4), TenantID: tenant.ID, Name: "a", Source: cloud.SourceURL, Firmware: cloud.FirmwareBIOS})
	w.must(err)
	if img.HostID != "" {
		t.Fatalf("got %+v", img)
	}
	w.must(w.RegisterHost(ctx, w.now, cloud.Host{Meta: cloud.Meta{ID: hostID}, Name: "rack1"}))
	networks, err := w.NetworkWishes(ctx, hostID, nil)
	w.must(err)
	images, err := w.DueImages(ctx, hostID, w.now)
	w.must(err)
	if len(networks) != 1 || len(images) != 1 {
		t.Fatalf("got %d networks and %d images", len(networks), len(images))
	}
}

func TestAHostsProblemIsShownOnItsInstancesUntilItIsCleared(t *testing.T) {
	w := newWorld(t)
	fine, broken, idle := w.run("fine"), w.run("broken"), w.create("idle")
	r := w.running(broken)
	r.Problem = &cloud.Problem{Code: cloud.CodeGuestPaused, Message: "Its own."}
	w.record(r)
	p := &cloud.Problem{Code: cloud.CodeHypervisor, Message: "libvirt does not answer.", Attempts: 1, RetryAt: w.now.Add(time.Minute)}
	w.must(w.RecordHostProblem(ctx, hostID, w.later(time.Minute), p))
	since := w.now
	if got := w.instance(fine.ID).Problem; got == nil || got.Code != cloud.CodeHypervisor || !got.Since.Equal(since) {
		t.Fatalf("got %+v", got)
	}
	if got := w.instance(broken.ID).Problem; got.Code != cloud.CodeGuestPaused {
		t.Fatalf("got %+v", got)
	}
	revision := w.instance(fine.ID).Revision
	again := *p
	again.Attempts, again.RetryAt = 2, w.now.Add(time.Hour)
	w.must(w.RecordHostProblem(ctx, hostID, w.later(time.Minute), &again))
	if got := w.instance(fine.ID); got.Revision != revision {
		t.Fatalf("a further try changed the instance: %+v", got)
	}
	w.must(w.RecordHostProblem(ctx, hostID, w.later(time.Minute), nil))
	w.must(w.RecordHostProblem(ctx, hostID, w.later(time.Minute), nil))
	for _, i := range []cloud.Instance{fine, idle} {
		if got := w.instance(i.ID).Problem; got != nil {
			t.Fatalf("got %+v", got)
		}
	}
	if got := w.instance(broken.ID).Problem; got == nil {
		t.Fatal("its own problem was cleared")
	}
	if got := w.eventTypes(hostID); !slices.Equal(got, []string{"host.started", "host.problem", "host.recovered"}) {
		t.Fatalf("got events %v", got)
	}
	if got := w.eventTypes(fine.ID); slices.Contains(got, "instance.problem") {
		t.Fatalf("got events %v", got)
	}
}

func TestAnInstanceThatIsSeenWellLosesTheHostsProblem(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	w.must(w.RecordHostProblem(ctx, hostID, w.now, &cloud.Problem{Code: cloud.CodeHypervisor, Message: "No."}))
	w.record(w.running(i))
	if got := w.instance(i.ID).Problem; got != nil {
		t.Fatalf("got %+v", got)
	}
	if got := w.eventTypes(i.ID); slices.Contains(got, "instance.recovered") {
		t.Fatalf("got events %v", got)
	}
}
