package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"lodge/cloud"
)

// uploadImage takes the bytes of an image as they come, and answers when the
// image is usable. The row is there meanwhile, so that others see it grow; when
// anything goes wrong, or the client leaves, it is forgotten again.
func (s *server) uploadImage(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "name", "tenant", "sha256", "firmware", "user", "public", "default", "protected")
	n := cloud.NewImage{
		Name: q.Get("name"), SHA256: q.Get("sha256"), Firmware: cloud.Firmware(q.Get("firmware")), User: q.Get("user"),
		Public: q.flag("public"), Default: q.flag("default"), Protected: q.flag("protected"), Source: cloud.SourceUpload,
	}
	if q.err != nil {
		return q.err
	}
	if err := checkImage(&n); err != nil {
		return err
	}
	if r.ContentLength == 0 {
		return cloud.Errorf(cloud.CodeImageTruncated, "The body is empty; it must be the image.")
	}
	img, err := s.addImage(w, r, c, n, q.Get("tenant"), "")
	if err != nil {
		return err
	}
	operationLocation(w, c) // of a failure too: it is kept, and says why
	why := errors.New("the import of the image panicked")
	defer func() {
		if why != nil {
			w.Header().Set("Connection", "close") // the rest of the bytes is not read
			s.forgetImage(r, img, why)
		}
	}()
	if why = s.takeImage(w, r, img, c.Once); why != nil {
		return why
	}
	if img, err = s.Images.Image(r.Context(), c, img.ID, ""); err != nil {
		return err
	}
	location(w, "/v1/images/"+img.ID)
	return reply(w, http.StatusCreated, wireImage(img))
}

// progressEvery is how often the progress of an upload is written down.
const progressEvery = 500 * time.Millisecond

// takeImage hands the bytes on and records what was found in them.
func (s *server) takeImage(w http.ResponseWriter, r *http.Request, img cloud.Image, once *cloud.Once) error {
	total := max(r.ContentLength, 0)
	if err := s.Uploads.RecordImage(r.Context(), s.Now(), cloud.ImageRecord{ID: img.ID, State: cloud.ImageImporting}); err != nil {
		return err
	}
	if err := s.Uploads.ImageProgress(r.Context(), img.ID, 0, total); err != nil {
		return err
	}
	body := &uploadBody{}
	body.r = &steady{r.Body, w, body.stopped.Load}
	var done atomic.Int64
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { s.watchUpload(w, r, img.ID, body, &done, total, ended) })
	// Also when the sink panics: w must not be touched after the answer.
	end := sync.OnceFunc(func() { close(ended); watch.Wait() })
	defer end()
	info, err := s.Sink.ImportImage(r.Context(), img, body, done.Store)
	end()
	switch {
	case err != nil && body.stopped.Load():
		return cloud.Wrap(cloud.CodeUnavailable, err, "lodged is being stopped; upload the image again when it is back.")
	case err != nil && body.err != nil:
		return &cloud.Error{Code: cloud.CodeImageTruncated, Message: "The upload ended before all of its bytes had arrived.", Cause: errors.Join(err, body.err)}
	case err != nil:
		return err
	}
	// The bytes are all there: a client that leaves now does not undo it.
	record := cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &info}
	if once != nil {
		record.Answer = func(img cloud.Image) (cloud.Answer, error) { return once.Render(img) }
	}
	return s.Uploads.RecordImage(context.WithoutCancel(r.Context()), s.Now(), record)
}

// watchUpload writes the progress down, and ends the upload when lodged stops.
func (s *server) watchUpload(w http.ResponseWriter, r *http.Request, id string, body *uploadBody, done *atomic.Int64, total int64, ended <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var told int64
	for {
		select {
		case <-ended:
			return
		case <-s.Stopping:
			body.stopped.Store(true)
			if err := http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)); err != nil {
				s.log.LogAttrs(r.Context(), slog.LevelError, "the upload cannot be ended", slog.String("image", id), slog.Any("error", err))
			}
			return
		case <-tick.C:
		}
		now := done.Load()
		if now == told {
			continue
		}
		told = now
		// Progress is for show: an import does not fail for it.
		if err := s.Uploads.ImageProgress(r.Context(), id, now, total); err != nil {
			s.log.LogAttrs(r.Context(), slog.LevelDebug, "image progress not written", slog.String("image", id), slog.Any("error", err))
		}
	}
}

// forgetTimeout is how long forgetting may take once the client has left.
const forgetTimeout = 30 * time.Second

func (s *server) forgetImage(r *http.Request, img cloud.Image, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), forgetTimeout)
	defer cancel()
	why := &cloud.Error{Code: cloud.CodeOf(err), Message: cloud.MessageOf(err), Cause: err}
	if err := s.Uploads.ForgetImage(ctx, s.Now(), img.ID, why); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "image row left behind after a failed upload", slog.String("image", img.ID), slog.Any("error", err))
		return // the next start looks after both
	}
	if err := s.Sink.RemoveDisk(ctx, cloud.DiskImage, img.ID); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "image file left behind after a failed upload", slog.String("image", img.ID), slog.Any("error", err))
	}
}

// uploadBody remembers that the client, and not the sink, is to blame, or that
// lodged itself ends the upload.
type uploadBody struct {
	r       io.Reader
	err     error
	stopped atomic.Bool
}

func (b *uploadBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
