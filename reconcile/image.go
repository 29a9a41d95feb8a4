package reconcile

import (
	"context"
	"time"

	"lodge/cloud"
)

// progressEvery is how often the progress of an import is written down.
const progressEvery = time.Second

// image fetches one image, or removes a deleted one. The download ends with
// running; the records are made whatever happens.
func (l *Loop) image(ctx, running context.Context, id string) {
	ref := cloud.Ref{Kind: cloud.KindImage, ID: id}
	img, ok := l.dueImage(ctx, ref)
	if !ok {
		return
	}
	if !img.DeletedAt.IsZero() {
		l.removeImage(ctx, ref)
		return
	}
	running, cancel := context.WithCancel(running)
	defer cancel()
	l.importing.Store(id, cancel)
	defer l.importing.Delete(id)

	info, err := l.fetchImage(running, img)
	switch {
	case err == nil:
		err = l.Images.RecordImage(ctx, l.Now(), cloud.ImageRecord{ID: id, State: cloud.ImageActive, Info: &info})
		if err != nil {
			l.retryImage(ref, err)
		}
	case running.Err() != nil: // deleted meanwhile, or lodged ends: the next look goes on
		l.images.mark(ref)
	default:
		l.failImage(ctx, ref, img, err)
	}
}

// dueImage reads the image again: the mark may be old.
func (l *Loop) dueImage(ctx context.Context, ref cloud.Ref) (cloud.Image, bool) {
	due, err := l.Images.DueImages(ctx, l.HostID, l.Now())
	if err != nil {
		l.retryImage(ref, err)
		return cloud.Image{}, false
	}
	for _, img := range due {
		if img.ID == ref.ID {
			return img, true
		}
	}
	return cloud.Image{}, false
}

func (l *Loop) fetchImage(ctx context.Context, img cloud.Image) (cloud.ImageInfo, error) {
	body, total, err := l.Fetcher.Fetch(ctx, img.URL)
	if err != nil {
		return cloud.ImageInfo{}, err
	}
	defer body.Close()
	img.BytesTotal = total
	var last time.Time
	progress := func(done int64) {
		now := l.Now()
		if now.Sub(last) < progressEvery {
			return
		}
		last = now
		if err := l.Images.ImageProgress(ctx, img.ID, done, total); err != nil {
			l.Log.Warn("image progress", "id", img.ID, "err", err)
		}
	}
	if err := l.Images.RecordImage(ctx, l.Now(), cloud.ImageRecord{ID: img.ID, State: cloud.ImageImporting}); err != nil {
		return cloud.ImageInfo{}, err
	}
	return l.Disks.ImportImage(ctx, img, body, progress)
}

// lasting are the failures that another attempt cannot mend.
var lasting = map[cloud.Code]bool{
	cloud.CodeImageFormat: true,
	cloud.CodeImageUnsafe: true,
	cloud.CodeImageTooBig: true,
	cloud.CodeChecksum:    true,
	cloud.CodeURLRefused:  true,
}

// importAttempts is how often an import is tried before it is given up.
const importAttempts = 5

func (l *Loop) failImage(ctx context.Context, ref cloud.Ref, img cloud.Image, err error) {
	now := l.Now()
	p := problem(img.Problem, cloud.CodeOf(err), cloud.MessageOf(err), now)
	p.Attempts = 1
	if img.Problem != nil {
		p.Attempts = img.Problem.Attempts + 1
	}
	r := cloud.ImageRecord{ID: img.ID, State: cloud.ImageQueued, Problem: p}
	// A full disk is waited for: it is the operator's to mend, not the tenant's.
	if lasting[p.Code] || (p.Attempts >= importAttempts && p.Code != cloud.CodeDiskFull) {
		r.State = cloud.ImageError
	} else {
		l.backoffs.Add(1)
		wait := backoff(img.ID, p.Attempts)
		p.RetryAt = now.Add(wait)
		l.images.markAfter(ref, wait)
	}
	l.Log.Warn("image import", "id", img.ID, "code", string(p.Code), "attempts", p.Attempts, "err", err)
	if err := l.Images.RecordImage(ctx, now, r); err != nil {
		l.retryImage(ref, err)
	}
}

func (l *Loop) removeImage(ctx context.Context, ref cloud.Ref) {
	err := l.Disks.RemoveDisk(ctx, cloud.DiskImage, ref.ID)
	if err == nil {
		err = l.Images.RecordImage(ctx, l.Now(), cloud.ImageRecord{ID: ref.ID, State: cloud.ImageGone})
	}
	if err != nil {
		l.retryImage(ref, err)
	}
}

func (l *Loop) retryImage(ref cloud.Ref, err error) {
	l.Log.Error("image", "id", ref.ID, "err", err)
	l.images.markAfter(ref, 5*backoffFirst)
}
