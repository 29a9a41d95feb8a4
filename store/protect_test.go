package store_test

import (
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/store"
)

func TestWhatIsProtectedIsNotDeletedUntilThatIsLifted(t *testing.T) {
	w := newWorld(t)
	yes, no := true, false
	n := w.wanted("web1")
	n.Protected = true
	in, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	if !in.Protected {
		t.Fatal("the instance is not protected")
	}
	_, err = w.DeleteInstance(ctx, operator, w.now, in.ID)
	w.refused(err, cloud.CodeProtected)
	same, err := w.Instance(ctx, operator, in.ID)
	w.must(err)
	if same.Revision != in.Revision || !same.DeletedAt.IsZero() {
		t.Errorf("the refusal changed it: %+v", same)
	}
	lifted, err := w.UpdateInstance(ctx, operator, w.now, in.ID, cloud.InstanceChange{Protected: &no})
	w.must(err)
	if lifted.Protected || lifted.Revision <= in.Revision || lifted.Generation != in.Generation {
		t.Errorf("lifted: %+v", lifted)
	}
	_, err = w.DeleteInstance(ctx, operator, w.now, in.ID)
	w.must(err)
	_, err = w.UpdateInstance(ctx, operator, w.now, in.ID, cloud.InstanceChange{Protected: &yes})
	w.refused(err, cloud.CodeConflict)

	img, err := w.UpdateImage(ctx, operator, w.now, w.image.ID, cloud.ImageChange{Protected: &yes})
	w.must(err)
	if !img.Protected || img.Revision <= w.image.Revision {
		t.Errorf("image: %+v", img)
	}
	w.refused(w.DeleteImage(ctx, operator, w.now, w.image.ID), cloud.CodeProtected)
}

// Of many, the protected ones stay, and a dry run says so beforehand and writes
// nothing.
func TestADeleteOfManySkipsWhatIsProtected(t *testing.T) {
	w := newWorld(t)
	n := w.wanted("kept")
	n.Protected = true
	_, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	_, err = w.CreateInstance(ctx, operator, w.now, w.wanted("goes"))
	w.must(err)
	for _, dry := range []bool{true, true, false} {
		got, err := w.ChangeInstances(ctx, operator, w.now, cloud.Filter{TenantID: w.tenant.ID}, cloud.BulkChange{Do: cloud.BulkDelete, DryRun: dry})
		w.must(err)
		if got.DryRun != dry || got.Matched != 2 || len(got.Changed) != 1 || got.Changed[0].Name != "goes" ||
			len(got.Skipped) != 1 || got.Skipped[0].Name != "kept" || got.Skipped[0].Refused.Code != cloud.CodeProtected {
			t.Errorf("dry run %v: %+v", dry, got)
		}
	}
}

// Another way to delete, now or later, that forgets to ask is stopped here.
func TestTheSchemaHoldsTheProtectionToo(t *testing.T) {
	w := newWorld(t)
	n := w.wanted("web1")
	n.Protected = true
	in, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	err = store.Exec(w.DB, `UPDATE instance SET deleted_at = 1 WHERE id = ?`, in.ID)
	if err == nil || !strings.Contains(err.Error(), "CHECK") {
		t.Errorf("the schema let it go: %v", err)
	}
}

// A protected image whose upload fails never was.
func TestAFailedUploadIsForgottenThoughItIsProtected(t *testing.T) {
	w := newWorld(t)
	img, err := w.CreateImage(ctx, operator, w.now, cloud.NewImage{
		ID: id("failing"), TenantID: w.tenant.ID, Name: "failing", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS, Protected: true,
	})
	w.must(err)
	w.must(w.ForgetImage(ctx, w.now, img.ID, nil))
	_, err = w.Image(ctx, operator, img.ID, "")
	w.refused(err, cloud.CodeNotFound)
}
