package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/store"
)

type removed struct {
	err  error
	gone []cloud.DiskKey
}

func (r *removed) RemoveDisk(_ context.Context, kind cloud.DiskKind, id string) error {
	r.gone = append(r.gone, cloud.DiskKey{Kind: kind, ID: id})
	return r.err
}

// An upload whose file has its name already, and whose record never came, leaves
// neither a row nor a file. What cannot be removed is tried at the next start.
func TestAnInterruptedUploadLeavesNoFile(t *testing.T) {
	ctx, now := context.Background(), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	db, err := store.Open(filepath.Join(t.TempDir(), "lodge.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const host = "6e7c1f30-6d0c-4b5e-9d8a-2f1f1c0e7a01"
	must(db.RegisterHost(ctx, now, cloud.Host{Meta: cloud.Meta{ID: host}, Name: "rack1", VCPUs: 8, MemoryMiB: 8192, Accel: "kvm", StartedAt: now, VCPURatio: 1, MemoryRatio: 1}))
	tenant, err := db.EnsureInstallation(ctx, now, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString()})
	must(err)
	root := cloud.Caller{Operator: true, Via: "test"}
	img, err := db.CreateImage(ctx, root, now, cloud.NewImage{ID: uuid.NewString(), TenantID: tenant.ID, Name: "a", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	must(err)
	must(db.RecordImage(ctx, now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageImporting}))

	broken := &removed{err: errors.New("input/output error")}
	if err := forgetUploads(ctx, db, broken, now); !errors.Is(err, broken.err) {
		t.Errorf("a file that stays: %v", err)
	}
	disks := &removed{}
	must(forgetUploads(ctx, db, disks, now))
	if len(disks.gone) != 1 || disks.gone[0] != (cloud.DiskKey{Kind: cloud.DiskImage, ID: img.ID}) {
		t.Errorf("removed %v", disks.gone)
	}
	if left, err := db.InterruptedUploads(ctx); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	must(forgetUploads(ctx, db, disks, now))
	if len(disks.gone) != 1 {
		t.Errorf("removed again: %v", disks.gone)
	}
}
