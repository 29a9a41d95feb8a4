package daemon

import (
	"context"
	"fmt"
	"time"

	"lodge/cloud"
)

// uploads are the images whose bytes come from a client.
type uploads interface {
	InterruptedUploads(ctx context.Context) ([]cloud.Image, error)
	ForgetImage(ctx context.Context, now time.Time, id string, why *cloud.Error) error
}

type remover interface {
	RemoveDisk(ctx context.Context, kind cloud.DiskKind, id string) error
}

// forgetUploads removes the uploads that the end of the last lodged broke off. The
// file first: it may have got its name already, and without its row nobody would
// look for it.
func forgetUploads(ctx context.Context, db uploads, disks remover, now time.Time) error {
	broken, err := db.InterruptedUploads(ctx)
	if err != nil {
		return fmt.Errorf("look for interrupted uploads: %w", err)
	}
	for _, img := range broken {
		if err := disks.RemoveDisk(ctx, cloud.DiskImage, img.ID); err != nil {
			return fmt.Errorf("remove an interrupted upload: %w", err)
		}
		why := cloud.Errorf(cloud.CodeImportCanceled, "lodged ended while image %s was being uploaded; upload it again.", img.Name)
		if err := db.ForgetImage(ctx, now, img.ID, why); err != nil {
			return fmt.Errorf("forget an interrupted upload: %w", err)
		}
	}
	return nil
}
