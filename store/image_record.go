package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// DueImages returns the images of the host that have to be fetched or removed
// and are not waiting for a retry. A removal does not wait for a failed import.
func (d *DB) DueImages(ctx context.Context, hostID string, now time.Time) ([]cloud.Image, error) {
	images, err := collect(d.read(ctx), scanImage, imageQuery+`
		WHERE gone_at IS NULL
		  AND host_id = ?
		  AND (
		    deleted_at IS NOT NULL
		    OR (source = 'url' AND state IN ('queued', 'importing'))
		  )
		  AND (
		    problem_code IS NULL
		    OR problem_retry_at <= ?
		    OR (deleted_at IS NOT NULL AND problem_removing = 0)
		  )
		ORDER BY created_at, id`, hostID, stamp(now))
	return images, fail("list due images", err)
}

// InterruptedUploads returns the images whose bytes were being sent when lodged
// ended: nobody will send the rest. It is asked once, before the API opens.
func (d *DB) InterruptedUploads(ctx context.Context) ([]cloud.Image, error) {
	images, err := collect(d.read(ctx), scanImage, imageQuery+`
		WHERE gone_at IS NULL
		  AND source = 'upload'
		  AND state IN ('queued', 'importing')
		ORDER BY created_at, id`)
	return images, fail("list interrupted uploads", err)
}

// ImageProgress notes how many bytes of an import have arrived, of how many (0:
// unknown). It is no change of the image: the revision stays. An image that is
// not there or not on its way is left alone.
func (d *DB) ImageProgress(ctx context.Context, id string, done, total int64) error {
	return d.write(ctx, time.Time{}, reconciler, "image progress", func(t *tx) error {
		_, err := t.exec(`
			UPDATE image
			SET bytes_done = ?,
			    bytes_total = ?
			WHERE id = ?
			  AND state IN ('queued', 'importing')`, done, total, id)
		return err
	})
}

// RecordImage writes what has become of an import or a removal. A record that
// changes nothing writes nothing; one about an image that is gone is dropped.
//
// Returns CodeNotFound when there is no such image, CodeConflict for a record
// that a wanted image is gone.
func (d *DB) RecordImage(ctx context.Context, now time.Time, r cloud.ImageRecord) error {
	if img, found, err := imageByID(d.read(ctx), r.ID); err == nil && found && sameImage(img, r) {
		return nil
	}
	return d.write(ctx, now, reconciler, "record image", func(t *tx) error {
		img, found, err := imageByID(t, r.ID)
		if err != nil {
			return err
		}
		if !found {
			return t.missingImage(r.ID)
		}
		if sameImage(img, r) {
			return nil
		}
		if r.State == cloud.ImageGone && img.DeletedAt.IsZero() {
			return cloud.Errorf(cloud.CodeConflict, "The image %s is wanted, so it cannot be recorded gone.", r.ID)
		}
		if err := t.recordImage(img, r); err != nil || r.Answer == nil {
			return err
		}
		return t.keepUploadAnswer(r)
	})
}

func (t *tx) keepUploadAnswer(r cloud.ImageRecord) error {
	img, _, err := imageByID(t, r.ID)
	if err != nil {
		return err
	}
	a, err := r.Answer(img)
	if err != nil {
		return err
	}
	return t.keepLate(r.ID, a)
}

func sameImage(img cloud.Image, r cloud.ImageRecord) bool {
	if img.State != r.State || !sameProblem(img.Problem, r.Problem) {
		return false
	}
	return r.Info == nil || *r.Info == cloud.ImageInfo{
		Format:      img.Format,
		SHA256:      img.SHA256,
		SizeBytes:   img.SizeBytes,
		VirtualSize: img.VirtualSize,
	}
}

// missingImage tells a tombstone, which a record leaves alone, from nothing.
func (t *tx) missingImage(id string) error {
	gone, err := exists(t, `SELECT 1 FROM image WHERE id = ?`, id)
	if err == nil && !gone {
		err = noImage(id)
	}
	return err
}

func (t *tx) recordImage(img cloud.Image, r cloud.ImageRecord) error {
	if r.State == cloud.ImageGone {
		r.Problem = nil
	}
	if err := t.writeImageState(img, r); err != nil {
		return err
	}
	if r.Info != nil {
		if err := t.writeImageInfo(img.ID, *r.Info); err != nil {
			return err
		}
	}
	if r.State == cloud.ImageActive && img.State != cloud.ImageActive && img.DeletedAt.IsZero() {
		if err := t.settleDefault(img); err != nil {
			return err
		}
	}
	now := img
	if now.State, now.Problem = r.State, r.Problem; r.Info != nil {
		now.SizeBytes = r.Info.SizeBytes
	}
	if err := t.meterImage(now, img.DeletedAt, cloud.EvidenceDeleted); err != nil {
		return err
	}
	subject := cloud.Ref{Kind: cloud.KindImage, ID: img.ID}
	if r.State != img.State {
		if err := t.event(img.TenantID, subject, img.Name, "image."+string(r.State), imageSentence(img, r), nil); err != nil {
			return err
		}
	}
	before := img.Problem
	if r.State == cloud.ImageGone {
		before = nil
	}
	if err := t.problemEvent(img.TenantID, subject, img.Name, before, r.Problem); err != nil {
		return err
	}
	img.State, img.Problem = r.State, r.Problem
	return t.judge(img.ID, func(o cloud.Operation) (cloud.OperationState, *cloud.OperationError) { return o.OnImage(img) })
}

// meterImage writes what an image counts as it is now. What it counted and does not
// any more has ended at endAt: that of one that is deleted, when its deletion was
// asked for.
func (t *tx) meterImage(img cloud.Image, endAt time.Time, evidence cloud.Evidence) error {
	open, err := openIntervals(t, img.ID)
	if err != nil {
		return err
	}
	var now []cloud.Reading
	if img.DeletedAt.IsZero() {
		now = cloud.ImageReadings(img.State, img.Problem, img.SizeBytes)
	}
	ch := cloud.ChangeMeters(open, now, t.now, endAt, evidence)
	return t.writeMeters(img.TenantID, img.ID, img.Name, ch)
}

func (t *tx) writeImageState(img cloud.Image, r cloud.ImageRecord) error {
	p := columnsOf(r.Problem, img.Problem, t.now)
	gone := stamp(time.Time{})
	if r.State == cloud.ImageGone {
		gone = stamp(t.now)
	}
	_, err := t.exec(`
		UPDATE image
		SET state = ?,
		    format = CASE WHEN ? = 'active' THEN ? ELSE format END,
		    problem_code = ?,
		    problem_message = ?,
		    problem_since = ?,
		    problem_retry_at = ?,
		    problem_attempts = ?,
		    problem_removing = ?,
		    gone_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`,
		string(r.State),
		string(r.State),
		formatOf(img, r),
		p.code,
		p.message,
		p.since,
		p.retryAt,
		p.attempts,
		r.Problem != nil && !img.DeletedAt.IsZero(),
		gone,
		stamp(t.now),
		img.ID,
	)
	return err
}

// formatOf is the format of an image that is active: written with the state,
// for there is no active image without one.
func formatOf(img cloud.Image, r cloud.ImageRecord) string {
	if r.Info != nil {
		return string(r.Info.Format)
	}
	return string(img.Format)
}

func (t *tx) writeImageInfo(id string, info cloud.ImageInfo) error {
	_, err := t.exec(`
		UPDATE image
		SET sha256_measured = ?,
		    size_bytes = ?,
		    virtual_size = ?,
		    bytes_done = ?,
		    bytes_total = ?
		WHERE id = ?`,
		info.SHA256, info.SizeBytes, info.VirtualSize, info.SizeBytes, info.SizeBytes, id)
	return err
}

func imageSentence(img cloud.Image, r cloud.ImageRecord) string {
	name := "The image " + img.Name
	switch r.State {
	case cloud.ImageImporting:
		return name + " is being imported."
	case cloud.ImageActive:
		return name + " is ready for use."
	case cloud.ImageError:
		return name + " could not be imported."
	case cloud.ImageGone:
		return name + " is gone."
	}
	return name + " is " + string(r.State) + "."
}

// ForgetImage removes an image whose upload failed as if it had never been
// asked for, but for an event that says why. One that is not there is forgotten
// already. Returns CodeConflict for an image that was active once.
func (d *DB) ForgetImage(ctx context.Context, now time.Time, id string, why *cloud.Error) error {
	return d.write(ctx, now, reconciler, "forget image", func(t *tx) error {
		img, found, err := imageByID(t, id)
		if err != nil || !found {
			return err
		}
		if img.Format != "" {
			return cloud.Errorf(cloud.CodeConflict, "The image %s was active, so it is not forgotten; delete it instead.", img.Name)
		}
		err = t.judge(id, func(cloud.Operation) (cloud.OperationState, *cloud.OperationError) {
			return cloud.OperationFailed, importError(img, why)
		})
		if err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM image WHERE id = ?`, id); err != nil {
			return err
		}
		if err := t.dropPending(id); err != nil {
			return err
		}
		message, data := "The import of the image "+img.Name+" failed.", map[string]string(nil)
		if why != nil {
			message, data = why.Message, map[string]string{"code": string(why.Code)}
		}
		return t.event(img.TenantID, cloud.Ref{Kind: cloud.KindImage, ID: id}, img.Name, "image.import_failed", message, data)
	})
}

// importError is why the import of an image that is forgotten failed.
func importError(img cloud.Image, why *cloud.Error) *cloud.OperationError {
	if why == nil {
		return &cloud.OperationError{Code: cloud.CodeInternal, Message: "The import of the image " + img.Name + " failed."}
	}
	return &cloud.OperationError{Code: why.Code, Message: why.Message}
}
