package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"lodge/cloud"
)

// RecordImageFiles compares the images of a host that can be used with a look at
// its disks that began at now. One whose file is not there has a problem and counts
// no more, from the host's last heartbeat on; one that is back counts from now.
// Without a change it writes nothing.
func (d *DB) RecordImageFiles(ctx context.Context, hostID string, now time.Time, disks map[cloud.DiskKey]cloud.Disk) error {
	if changed, err := changedImageFiles(d.read(ctx), hostID, now, disks); err != nil || len(changed) == 0 {
		return fail("compare images with their files", err)
	}
	return d.write(ctx, now, reconciler, "record image files", func(t *tx) error {
		return t.recordImageFiles(hostID, disks)
	})
}

func (t *tx) recordImageFiles(hostID string, disks map[cloud.DiskKey]cloud.Disk) error {
	changed, err := changedImageFiles(t, hostID, t.now, disks)
	if err != nil {
		return err
	}
	var beat sql.NullInt64
	if err := t.row(`SELECT MAX(heartbeat_at) FROM host WHERE id = ?`, hostID).Scan(&beat); err != nil {
		return err
	}
	for _, img := range changed {
		before := img.Problem
		if img.Problem = nil; !before.Is(cloud.CodeDiskMissing) {
			img.Problem = &cloud.Problem{Code: cloud.CodeDiskMissing, Since: t.now,
				Message: "The file of the image is gone from the host; put it back, or delete the image."}
		}
		if err := t.writeImageState(img, cloud.ImageRecord{ID: img.ID, State: img.State, Problem: img.Problem}); err != nil {
			return err
		}
		if err := t.meterImage(img, moment(beat), cloud.EvidenceHeartbeat); err != nil {
			return err
		}
		if err := t.problemEvent(img.TenantID, cloud.Ref{Kind: cloud.KindImage, ID: img.ID}, img.Name, before, img.Problem); err != nil {
			return err
		}
	}
	return nil
}

// changedImageFiles are the images whose files went, or came back. What was changed
// since the look began may have had no file then.
func changedImageFiles(s source, hostID string, looked time.Time, disks map[cloud.DiskKey]cloud.Disk) ([]cloud.Image, error) {
	all, err := collect(s, scanImage, imageQuery+`
		WHERE host_id = ?
		  AND state = 'active'
		  AND deleted_at IS NULL
		  AND updated_at < ?
		ORDER BY id`, hostID, stamp(looked))
	return slices.DeleteFunc(all, func(img cloud.Image) bool {
		_, there := disks[cloud.DiskKey{Kind: cloud.DiskImage, ID: img.ID}]
		return there != img.Problem.Is(cloud.CodeDiskMissing)
	}), err
}
