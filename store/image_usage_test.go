package store_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

// oneInterval is the only interval of a resource.
func (w *world) oneInterval(resourceID string) cloud.Interval {
	w.t.Helper()
	ivs, err := w.UsageIntervals(ctx, operator, cloud.UsageFilter{})
	w.must(err)
	var out []cloud.Interval
	for _, iv := range ivs {
		if iv.ResourceID == resourceID {
			out = append(out, iv)
		}
	}
	if len(out) != 1 {
		w.t.Fatalf("the ledger has %+v", out)
	}
	return out[0]
}

func TestAnImageIsCountedWhileItCanBeUsed(t *testing.T) {
	w := newWorld(t)
	img, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("image", "metered"), TenantID: w.tenant.ID, Name: "metered", Source: cloud.SourceUpload, Firmware: cloud.FirmwareUEFI,
	})
	w.must(err)
	w.must(w.RecordImage(ctx, w.later(time.Minute), cloud.ImageRecord{ID: img.ID, State: cloud.ImageImporting}))
	active := cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatQcow2, SHA256: "ab", SizeBytes: 300<<20 + 1, VirtualSize: 3 << 30}}
	began := w.later(time.Minute)
	w.must(w.RecordImage(ctx, began, active))
	w.must(w.RecordImage(ctx, w.later(time.Minute), active)) // told twice
	iv := w.oneInterval(img.ID)
	if iv.Reading != (cloud.Reading{Slot: "image", Meter: cloud.MeterImage, Amount: 301, State: "active"}) || !iv.StartedAt.Equal(began) || !iv.EndedAt.IsZero() || iv.Resource != "metered" {
		t.Errorf("counted as %+v", iv)
	}
	asked := w.later(time.Hour)
	w.must(w.DeleteImage(ctx, operator, asked, img.ID))
	if iv = w.oneInterval(img.ID); !iv.EndedAt.Equal(asked) || iv.Evidence != cloud.EvidenceDeleted {
		t.Errorf("once its deletion was asked for: %+v", iv)
	}
	// The removal fails, and goes on failing.
	failed := cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Problem: &cloud.Problem{Code: cloud.CodeStorage, Message: "No.", Since: w.now}}
	w.must(w.RecordImage(ctx, w.later(time.Hour), failed))
	w.must(w.RecordImage(ctx, w.later(time.Hour), cloud.ImageRecord{ID: img.ID, State: cloud.ImageGone}))
	if again := w.oneInterval(img.ID); again != iv {
		t.Errorf("when it is gone: %+v", again)
	}
}

func TestAnImageThatFailsIsNotCounted(t *testing.T) {
	w := newWorld(t)
	img, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("image", "bad"), TenantID: w.tenant.ID, Name: "bad", Source: cloud.SourceURL, URL: "https://images.example/d", Firmware: cloud.FirmwareUEFI,
	})
	w.must(err)
	w.must(w.RecordImage(ctx, w.later(time.Minute), cloud.ImageRecord{ID: img.ID, State: cloud.ImageError, Problem: &cloud.Problem{Code: cloud.CodeChecksum, Message: "No.", Since: w.now}}))
	w.must(w.DeleteImage(ctx, operator, w.later(time.Minute), img.ID))
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_interval WHERE resource_id = '`+img.ID+`'`); n != 0 {
		t.Errorf("%d intervals", n)
	}
}

// Of images that were there before they were counted nothing is billed that was
// before the upgrade.
func TestImagesCountFromTheUpgradeOn(t *testing.T) {
	w := newWorld(t)
	w.must(w.Heartbeat(ctx, hostID, w.later(time.Hour)))
	for _, name := range []string{"old", "deleted", "queued"} {
		_, err := w.CreateImage(ctx, operator, noon, cloud.NewImage{
			ID: id("image", name), TenantID: w.tenant.ID, Name: name, Source: cloud.SourceUpload, Firmware: cloud.FirmwareUEFI,
		})
		w.must(err)
	}
	w.must(store.Exec(w.DB, `UPDATE image SET state = 'active', format = 'raw', size_bytes = 1048577 WHERE name IN ('old', 'deleted')`))
	w.must(store.Exec(w.DB, `UPDATE image SET deleted_at = updated_at WHERE name = 'deleted'`))
	text, err := os.ReadFile("migrations/0011_traffic.sql")
	w.must(err)
	_, statement, found := strings.Cut(string(text), "INSERT INTO usage_interval")
	if !found {
		t.Fatal("the migration has no such statement")
	}
	w.must(store.Exec(w.DB, "INSERT INTO usage_interval"+strings.Replace(statement, "WHERE ", "WHERE i.name IN ('old', 'deleted', 'queued') AND ", 1)))
	iv := w.oneInterval(id("image", "old"))
	if iv.Amount != 2 || !iv.StartedAt.Equal(w.now) || !iv.EndedAt.IsZero() || iv.Slot != "image" || iv.Meter != cloud.MeterImage {
		t.Errorf("counted as %+v", iv)
	}
	if n := store.Count(t, w.DB, `SELECT COUNT(*) FROM usage_interval WHERE meter = 'image' AND resource IN ('deleted', 'queued')`); n != 0 {
		t.Errorf("%d of others are counted", n)
	}
}
