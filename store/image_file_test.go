package store_test

import (
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

// An image whose file went from the host is counted until the last look before, is
// shown with a problem, and nothing is made of it; when it is back it counts again.
func TestAnImageWithoutItsFileIsNotCountedAndNotUsed(t *testing.T) {
	w := newWorld(t)
	there := map[cloud.DiskKey]cloud.Disk{{Kind: cloud.DiskImage, ID: w.image.ID}: {}}
	intervals := func() (out []cloud.Interval) {
		ivs, err := w.UsageIntervals(ctx, operator, cloud.UsageFilter{})
		w.must(err)
		for _, iv := range ivs {
			if iv.ResourceID == w.image.ID {
				out = append(out, iv)
			}
		}
		return out
	}
	problem := func() *cloud.Problem {
		img, err := w.Image(ctx, operator, w.image.ID, "")
		w.must(err)
		return img.Problem
	}
	looked := func(disks map[cloud.DiskKey]cloud.Disk) {
		t.Helper()
		w.must(w.RecordImageFiles(ctx, hostID, w.now, disks))
		w.sound()
	}
	looked(nil) // it was made in this moment: the look may be older
	if problem() != nil || len(intervals()) != 1 {
		t.Fatalf("of a look that began before: %+v, %+v", problem(), intervals())
	}
	beat := w.later(time.Minute)
	w.must(w.Heartbeat(ctx, hostID, beat))
	w.later(30 * time.Second)
	looked(there)
	before := store.Count(t, w.DB, `SELECT revision FROM image`)
	w.later(30 * time.Second)
	for range 2 {
		looked(nil)
	}
	if p := problem(); !p.Is(cloud.CodeDiskMissing) || !p.Since.Equal(w.now) || store.Count(t, w.DB, `SELECT revision FROM image`) != before+1 {
		t.Errorf("the problem is %+v", p)
	}
	if all := intervals(); len(all) != 1 || !all[0].EndedAt.Equal(beat) || all[0].Evidence != cloud.EvidenceHeartbeat {
		t.Errorf("counted as %+v, and the last look was at %v", all, beat)
	}
	_, err := w.CreateInstance(ctx, operator, w.now, cloud.NewInstance{
		ID: id("none"), VolumeID: id("none", "v"), PortID: id("none", "p"), Name: "none", TenantID: w.tenant.ID, VCPUs: 1, MemoryMiB: 512,
	})
	w.refused(err, cloud.CodeImageNotReady)
	w.later(time.Hour)
	looked(there)
	if all := intervals(); problem() != nil || len(all) != 2 || !all[1].StartedAt.Equal(w.now) || !all[1].EndedAt.IsZero() {
		t.Errorf("it is back: %+v, counted as %+v", problem(), all)
	}
	w.run("web1")
}

// Behind a restore an image that is not there ends with the backup's last look.
func TestAnImageThatARestoreDoesNotFindEndsWithTheLastLook(t *testing.T) {
	w := newWorld(t)
	beat := w.later(time.Minute)
	w.must(w.Heartbeat(ctx, hostID, beat))
	w.must(w.MarkRestored(ctx, w.later(30*time.Second), "b1", w.now))
	w.must(w.Adopt(ctx, hostID, w.later(5*time.Hour), nil, cloud.RestoreReport{}, w.sightOf()))
	if iv := w.oneInterval(w.image.ID); !iv.EndedAt.Equal(beat) {
		t.Errorf("counted as %+v, and the last look was at %v", iv, beat)
	}
	w.sound()
	w.must(w.DeleteImage(ctx, operator, w.later(time.Minute), w.image.ID))
	w.sound()
}
