package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

func (w *world) newImage(name, tenantID string, source cloud.ImageSource) cloud.Image {
	w.t.Helper()
	img, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("image", tenantID, name), TenantID: tenantID, Name: name, Source: source, URL: "https://example.org/i", SHA256: "promised", Firmware: cloud.FirmwareBIOS})
	w.must(err)
	return img
}

func (w *world) imageByID(id string) cloud.Image {
	w.t.Helper()
	img, err := w.Image(ctx, operator, id, "")
	w.must(err)
	return img
}

func (w *world) dueImages() []string {
	w.t.Helper()
	images, err := w.DueImages(ctx, hostID, w.now)
	w.must(err)
	names := []string{}
	for _, i := range images {
		names = append(names, i.Name)
	}
	return names
}

func TestAnImageByURLGoesFromQueuedToActive(t *testing.T) {
	w := newWorld(t)
	w.rang()
	img := w.newImage("alpine", w.tenant.ID, cloud.SourceURL)
	if img.State != cloud.ImageQueued || img.HostID != hostID || !w.rang() {
		t.Fatalf("got %+v", img)
	}
	if got := w.dueImages(); !slices.Equal(got, []string{"alpine"}) {
		t.Fatalf("got %v", got)
	}
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageImporting}))
	w.must(w.ImageProgress(ctx, img.ID, 10, 100))
	got := w.imageByID(img.ID)
	if got.State != cloud.ImageImporting || got.BytesDone != 10 || got.BytesTotal != 100 || got.SHA256 != "promised" {
		t.Fatalf("got %+v", got)
	}
	info := &cloud.ImageInfo{Format: cloud.FormatRaw, SHA256: "measured", SizeBytes: 100, VirtualSize: 200}
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: info}))
	got = w.imageByID(img.ID)
	if got.State != cloud.ImageActive || got.Format != cloud.FormatRaw || got.SHA256 != "measured" || got.SizeBytes != 100 || got.VirtualSize != 200 || got.BytesDone != 100 {
		t.Fatalf("got %+v", got)
	}
	revision := got.Revision
	w.must(w.RecordImage(ctx, w.later(time.Second), cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: info}))
	w.must(w.ImageProgress(ctx, img.ID, 1, 1)) // a late one
	if got := w.imageByID(img.ID); got.Revision != revision || got.BytesDone != 100 {
		t.Fatalf("a repeat changed it: %+v", got)
	}
	if got := w.dueImages(); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	want := []string{"image.created", "image.importing", "image.active"}
	if got := w.eventTypes(img.ID); !slices.Equal(got, want) {
		t.Fatalf("got events %v", got)
	}
}

func TestAFailedImportWaitsForItsRetry(t *testing.T) {
	w := newWorld(t)
	img := w.newImage("alpine", w.tenant.ID, cloud.SourceURL)
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageQueued,
		Problem: &cloud.Problem{Code: cloud.CodeURLFailed, Message: "404.", RetryAt: w.now.Add(time.Minute), Attempts: 1}}))
	if got := w.dueImages(); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	w.later(time.Minute)
	if got := w.dueImages(); len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	// A removal does not wait for the import, but for its own failures.
	w.later(-time.Second)
	w.must(w.DeleteImage(ctx, operator, w.now, img.ID))
	if got := w.dueImages(); len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageQueued,
		Problem: &cloud.Problem{Code: cloud.CodeStorage, Message: "No.", RetryAt: w.now.Add(time.Minute), Attempts: 1}}))
	if got := w.dueImages(); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	w.later(time.Minute)
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageGone}))
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageGone}))
	if got := w.dueImages(); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
	_, err := w.Image(ctx, operator, img.ID, "")
	w.refused(err, cloud.CodeNotFound)
}

func TestATenantHasOneDefaultImage(t *testing.T) {
	w := newWorld(t) // debian-12 is the first image of the installation
	if !w.image.Default {
		t.Fatal("the first image is not the default")
	}
	acme := w.newTenant("acme")
	own := w.activeImage("alpine", acme.ID, false)
	if !own.Default {
		t.Fatal("the first image that acme may use is not its default")
	}
	second := w.newImage("fedora", w.tenant.ID, cloud.SourceURL)
	if second.Default {
		t.Fatal("a second image became the default unasked")
	}
	third, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{ID: id("third"), TenantID: w.tenant.ID, Name: "third",
		Default: true, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	w.must(err)
	if third.Default || !w.imageByID(w.image.ID).Default {
		t.Fatal("the default moved to an image that cannot be started from")
	}
	info := &cloud.ImageInfo{Format: cloud.FormatRaw, SHA256: "measured", SizeBytes: 100, VirtualSize: 200}
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: third.ID, State: cloud.ImageActive, Info: info}))
	if !w.imageByID(third.ID).Default || w.imageByID(w.image.ID).Default || !w.imageByID(own.ID).Default {
		t.Fatal("the default did not move within its tenant")
	}
}

func TestAnImportThatFailsTakesNoDefault(t *testing.T) {
	w := emptyWorld(t, store.Options{})
	w.must(w.RegisterHost(ctx, w.now, cloud.Host{Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 8, MemoryMiB: 65536, Accel: "kvm", StartedAt: w.now}))
	var err error
	w.tenant, err = w.EnsureInstallation(ctx, w.now, cloud.NewTenant{ID: id("tenant"), NetworkID: id("network"), SubnetID: id("subnet")})
	w.must(err)

	// The first of all fails: the first that works is the default.
	broken := w.newImage("broken", w.tenant.ID, cloud.SourceURL)
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: broken.ID, State: cloud.ImageError, Problem: &cloud.Problem{Code: cloud.CodeURLFailed, Message: "No.", Since: w.now}}))
	first := w.activeImage("first", w.tenant.ID, false)
	if !w.imageByID(first.ID).Default {
		t.Fatal("the first image that works is not the default")
	}
	cut, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{ID: id("cut"), TenantID: w.tenant.ID, Name: "cut",
		Default: true, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	w.must(err)
	w.must(w.ForgetImage(ctx, w.now, cut.ID, nil))
	if !w.imageByID(first.ID).Default {
		t.Error("an upload that was cut off took the default")
	}
	w.create("web1") // and with it an instance can be made
}

func TestAnImageIsChanged(t *testing.T) {
	w := newWorld(t)
	second := w.activeImage("fedora", w.tenant.ID, false)
	yes, no, name, value := true, false, "fedora-43", "x"
	got, err := w.UpdateImage(ctx, operator, w.now, second.ID, cloud.ImageChange{Default: &yes, Name: &name, Public: &yes, LabelChange: cloud.LabelChange{Labels: map[string]*string{"os": &value}}})
	w.must(err)
	if !got.Default || got.Name != name || !got.Public || got.Labels["os"] != "x" || w.imageByID(w.image.ID).Default || got.Revision <= second.Revision {
		t.Errorf("got %+v", got)
	}
	again, err := w.UpdateImage(ctx, operator, w.now, second.ID, cloud.ImageChange{Default: &yes, Name: &name})
	w.must(err)
	if again.Revision != got.Revision {
		t.Error("what is so already was a change")
	}
	if got, err = w.UpdateImage(ctx, operator, w.now, second.ID, cloud.ImageChange{Default: &no, LabelChange: cloud.LabelChange{Labels: map[string]*string{"os": nil}}}); err != nil || got.Default || len(got.Labels) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("web1"))
	w.refused(err, cloud.CodeNoImage)

	taken := w.image.Name
	_, err = w.UpdateImage(ctx, operator, w.now, second.ID, cloud.ImageChange{Name: &taken})
	w.refused(err, cloud.CodeNameTaken)
	acme := w.newTenant("acme")
	_, err = w.UpdateImage(ctx, cloud.Caller{TenantID: acme.ID}, w.now, second.ID, cloud.ImageChange{Name: &value})
	w.refused(err, cloud.CodeForbidden) // public, so it may be seen
	_, err = w.UpdateImage(ctx, operator, w.now, second.ID, cloud.ImageChange{Public: &no})
	w.must(err)
	_, err = w.UpdateImage(ctx, cloud.Caller{TenantID: acme.ID}, w.now, second.ID, cloud.ImageChange{Name: &value})
	w.refused(err, cloud.CodeNotFound)
	_, err = w.UpdateImage(ctx, cloud.Caller{TenantID: w.tenant.ID}, w.now, second.ID, cloud.ImageChange{Public: &yes})
	w.refused(err, cloud.CodeForbidden)
	queued := w.newImage("queued", w.tenant.ID, cloud.SourceURL)
	_, err = w.UpdateImage(ctx, operator, w.now, queued.ID, cloud.ImageChange{Default: &yes})
	w.refused(err, cloud.CodeImageNotReady)
}

func TestImagesAreRefusedForAReason(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	member, other := cloud.Caller{TenantID: w.tenant.ID}, cloud.Caller{TenantID: acme.ID}
	public := w.activeImage("public", w.tenant.ID, true)
	upload := w.newImage("upload", w.tenant.ID, cloud.SourceUpload)
	w.create("web1")
	create := func(c cloud.Caller, tenantID, name string, public bool) error {
		_, err := w.CreateImage(ctx, c, w.now, cloud.NewImage{ID: id(name, "new"), TenantID: tenantID, Name: name, Public: public, Source: cloud.SourceURL, Firmware: cloud.FirmwareBIOS})
		return err
	}
	for _, tc := range []struct {
		name string
		err  error
		code cloud.Code
	}{
		{"a name that is taken", create(member, w.tenant.ID, "debian-12", false), cloud.CodeNameTaken},
		{"for another tenant", create(other, w.tenant.ID, "x", false), cloud.CodeNotFound},
		{"public by a tenant", create(member, w.tenant.ID, "x", true), cloud.CodeForbidden},
		{"deleted while a disk is based on it", w.DeleteImage(ctx, member, w.now, w.image.ID), cloud.CodeInUse},
		{"deleted while it is uploaded", w.DeleteImage(ctx, member, w.now, upload.ID), cloud.CodeConflict},
		{"a public one deleted by another tenant", w.DeleteImage(ctx, other, w.now, public.ID), cloud.CodeForbidden},
		{"a private one deleted by another tenant", w.DeleteImage(ctx, other, w.now, w.image.ID), cloud.CodeNotFound},
		{"an unknown one deleted", w.DeleteImage(ctx, operator, w.now, id("nothing")), cloud.CodeNotFound},
		{"recorded gone while it is wanted", w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: public.ID, State: cloud.ImageGone}), cloud.CodeConflict},
		{"recorded and unknown", w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: id("nothing"), State: cloud.ImageActive}), cloud.CodeNotFound},
		{"forgotten after it was active", w.ForgetImage(ctx, w.now, public.ID, nil), cloud.CodeConflict},
	} {
		t.Run(tc.name, func(t *testing.T) { w.t = t; w.refused(tc.err, tc.code) })
	}
}

func TestAnImageIsFreeOnceTheLastDiskIsGone(t *testing.T) {
	w := newWorld(t)
	i := w.run("web1")
	i, err := w.DeleteInstance(ctx, operator, w.now, i.ID)
	w.must(err)
	w.refused(w.DeleteImage(ctx, operator, w.now, w.image.ID), cloud.CodeInUse)
	w.record(w.gone(i))
	w.must(w.DeleteImage(ctx, operator, w.now, w.image.ID))
	w.must(w.DeleteImage(ctx, operator, w.now, w.image.ID))
	if got := w.dueImages(); !slices.Equal(got, []string{"debian-12"}) {
		t.Fatalf("its bytes are not to be removed: %v", got)
	}
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("web2"))
	w.refused(err, cloud.CodeNoImage)
	w.activeImage("debian-12b", w.tenant.ID, false)
}

func TestAFailedUploadLeavesAnEventAndNothingElse(t *testing.T) {
	w := newWorld(t)
	img := w.newImage("alpine", w.tenant.ID, cloud.SourceUpload)
	if img.State != cloud.ImageImporting {
		t.Fatalf("got %s", img.State)
	}
	interrupted, err := w.InterruptedUploads(ctx)
	w.must(err)
	if len(interrupted) != 1 || interrupted[0].ID != img.ID {
		t.Fatalf("got %+v", interrupted)
	}
	w.must(w.ForgetImage(ctx, w.now, img.ID, cloud.Errorf(cloud.CodeChecksum, "The bytes are not the promised ones.")))
	w.must(w.ForgetImage(ctx, w.now, img.ID, nil))
	_, err = w.Image(ctx, operator, img.ID, "")
	w.refused(err, cloud.CodeNotFound)
	if got := w.eventTypes(img.ID); !slices.Equal(got, []string{"image.created", "image.import_failed"}) {
		t.Fatalf("got events %v", got)
	}
	w.newImage("alpine", w.tenant.ID, cloud.SourceUpload) // the id and the name are free
}

func TestATenantSeesItsOwnAndThePublicImages(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.activeImage("public", w.tenant.ID, true)
	w.activeImage("own", acme.ID, false)
	for _, tc := range []struct {
		name string
		c    cloud.Caller
		f    cloud.Filter
		want []string
	}{
		{"the tenant", cloud.Caller{TenantID: acme.ID}, cloud.Filter{}, []string{"own", "public"}},
		{"the operator", operator, cloud.Filter{}, []string{"debian-12", "own", "public"}},
		{"the operator for the tenant", operator, cloud.Filter{TenantID: acme.ID}, []string{"own", "public"}},
		{"by name", operator, cloud.Filter{Name: "own"}, []string{"own"}},
		{"by state", operator, cloud.Filter{State: "queued"}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			images, _, err := w.Images(ctx, tc.c, tc.f, cloud.Page{})
			if err != nil {
				t.Fatal(err)
			}
			names := []string{}
			for _, i := range images {
				names = append(names, i.Name)
			}
			if slices.Sort(names); !slices.Equal(names, tc.want) {
				t.Fatalf("got %v, want %v", names, tc.want)
			}
		})
	}
	_, err := w.Image(ctx, cloud.Caller{TenantID: acme.ID}, "debian-12", "")
	w.refused(err, cloud.CodeNotFound)
	_, err = w.Image(ctx, cloud.Caller{TenantID: acme.ID}, "debian-12", w.tenant.ID)
	w.refused(err, cloud.CodeNotFound)
}

func TestADeletedImageIsNotThereThoughItsBytesAre(t *testing.T) {
	w := newWorld(t)
	w.must(w.DeleteImage(ctx, operator, w.now, w.image.ID))
	for _, name := range []string{w.image.ID, w.image.Name} {
		_, err := w.Image(ctx, operator, name, "")
		w.refused(err, cloud.CodeNotFound)
		n := w.wanted("web1")
		n.Image = name
		_, err = w.CreateInstance(ctx, operator, w.now, n)
		w.refused(err, cloud.CodeInvalid)
	}
	images, _, err := w.Images(ctx, operator, cloud.Filter{}, cloud.Page{})
	w.must(err)
	if len(images) != 0 {
		t.Fatalf("got %+v", images)
	}
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{ID: w.image.ID, State: cloud.ImageGone}))
}

// An image is deleted while an instance is made from it: one of the two wins.
func TestOfADeletionAndAnInstanceInParallelOneWins(t *testing.T) {
	w := newWorld(t)
	w.must(w.DeleteImage(ctx, operator, w.now, w.image.ID))
	for pair := range 16 {
		tenant := w.newTenant(fmt.Sprintf("t%d", pair))
		img := w.activeImage("debian", tenant.ID, false)
		n := w.wanted("web")
		n.TenantID, n.VCPUs, n.MemoryMiB = tenant.ID, 1, 128
		lost := cloud.CodeNoImage
		if pair%2 == 0 {
			n.Image, lost = img.ID, cloud.CodeInvalid
		}
		var deleted, created error
		var both sync.WaitGroup
		both.Go(func() { deleted = w.DeleteImage(ctx, operator, w.now, img.ID) })
		both.Go(func() { _, created = w.CreateInstance(ctx, operator, w.now, n) })
		both.Wait()
		if deleted == nil {
			w.refused(created, lost)
			continue
		}
		w.refused(deleted, cloud.CodeInUse)
		w.must(created)
	}
}
