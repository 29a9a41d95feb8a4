package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lodge/api"
	"lodge/api/client"
	"lodge/api/wire"
	"lodge/cloud"
)

// takeAll is a sink that takes what begins with "RAW" and has the checksum.
func takeAll(img cloud.Image, r io.Reader, progress func(int64)) (cloud.ImageInfo, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return cloud.ImageInfo{}, cloud.Wrap(cloud.CodeImageTruncated, err, "The image ended early.")
	}
	progress(int64(len(b)))
	sum := sha256.Sum256(b)
	info := cloud.ImageInfo{Format: cloud.FormatRaw, SHA256: hex.EncodeToString(sum[:]), SizeBytes: int64(len(b)), VirtualSize: int64(len(b))}
	switch {
	case !strings.HasPrefix(string(b), "RAW"):
		return info, cloud.Errorf(cloud.CodeImageFormat, "The bytes are neither raw nor qcow2.")
	case img.SHA256 != "" && img.SHA256 != info.SHA256:
		return info, cloud.Errorf(cloud.CodeChecksum, "The bytes have another checksum.")
	}
	return info, nil
}

func uploadFront(t *testing.T, sink func(cloud.Image, io.Reader, func(int64)) (cloud.ImageInfo, error)) *front {
	f := newFront(t)
	f.store.sink = sink
	return f
}

func (f *front) upload(query, body string) *answer {
	f.t.Helper()
	return f.do("POST", "/v1/images?"+query, body, "Content-Type", "application/octet-stream")
}

func TestAnImageIsChangedOverTheRealStore(t *testing.T) {
	h := newHouse(t)
	up := func(name string) wire.Image {
		return decoded[wire.Image](h.do("POST", "/v1/images?name="+name, "RAW disk of "+name, "Content-Type", "application/octet-stream").want(http.StatusCreated))
	}
	first, second := up("first"), up("second")
	if !first.Default || second.Default {
		t.Fatalf("defaults: %v, %v", first.Default, second.Default)
	}
	got := decoded[wire.Image](h.do("PATCH", "/v1/images/"+second.ID, `{"default":true,"name":"better","labels":{"os":"debian"}}`).want(http.StatusOK))
	if !got.Default || got.Name != "better" || got.Labels["os"] != "debian" {
		t.Errorf("changed: %+v", got)
	}
	if got := decoded[wire.Image](h.do("GET", "/v1/images/"+first.ID, "").want(http.StatusOK)); got.Default {
		t.Error("two defaults")
	}
	h.do("PATCH", "/v1/images/"+first.ID, `{"name":"better"}`).wantFailure(409, cloud.CodeNameTaken)
	h.do("PATCH", "/v1/images/"+first.ID, `{"name":"a\u0000b"}`).wantFailure(400, cloud.CodeInvalid)
	h.do("PATCH", "/v1/images/"+first.ID, `{"format":"raw"}`).wantFailure(400, cloud.CodeUnknownField)
	h.do("PATCH", "/v1/images/"+nobodysID, `{"name":"x"}`).wantFailure(404, cloud.CodeNotFound)
}

func TestUploadGivesAUsableImage(t *testing.T) {
	var during cloud.Image
	var f *front
	f = uploadFront(t, func(img cloud.Image, r io.Reader, p func(int64)) (cloud.ImageInfo, error) {
		p(1)
		for deadline := time.Now().Add(10 * time.Second); during.BytesDone == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			during, _ = f.store.Image(context.Background(), operator, img.ID, "")
		}
		return takeAll(img, r, p)
	})
	sum := sha256.Sum256([]byte("RAW and more"))
	a := f.upload("name=tiny&firmware=uefi&user=root&public=true&sha256="+strings.ToUpper(hex.EncodeToString(sum[:])), "RAW and more").want(http.StatusCreated)
	img := decoded[wire.Image](a)
	if img.State != "active" || img.Format != "raw" || img.SizeBytes != 12 || img.Firmware != "uefi" || img.LoginUser != "root" || !img.Public || img.Default || img.Source != "upload" {
		t.Errorf("got %s", a.body)
	}
	if a.Header.Get("Location") != "/v1/images/"+img.ID {
		t.Errorf("Location %q", a.Header.Get("Location"))
	}
	if during.State != cloud.ImageImporting || during.BytesDone != 1 || during.BytesTotal != 12 {
		t.Errorf("meanwhile it was %+v", during)
	}
	f.do("GET", "/v1/images/"+img.ID, "").want(200)
	f.upload("name=tiny", "RAW").wantFailure(409, cloud.CodeNameTaken)
}

func TestFailedUploadsLeaveNothing(t *testing.T) {
	for _, tt := range []struct {
		query, body string
		status      int
		code        cloud.Code
	}{
		{"name=a", "VMDK", 422, cloud.CodeImageFormat},
		{"name=a", "", 422, cloud.CodeImageTruncated},
		{"name=a&sha256=" + strings.Repeat("0", 64), "RAW", 422, cloud.CodeChecksum},
		{"name=a&sha256=xyz", "RAW", 400, cloud.CodeInvalid},
		{"name=", "RAW", 400, cloud.CodeInvalid},
		{"", "RAW", 400, cloud.CodeInvalid},
		{"name=a&firmware=efi", "RAW", 400, cloud.CodeInvalid},
		{"name=a&user=ro%20ot", "RAW", 400, cloud.CodeInvalid},
		{"name=a&public=perhaps", "RAW", 400, cloud.CodeInvalid},
		{"name=a&tenant=nobody", "RAW", 404, cloud.CodeNotFound},
		{"name=a&colour=red", "RAW", 400, cloud.CodeUnknownField},
		{"name=debian-12", "RAW", 409, cloud.CodeNameTaken},
	} {
		f := uploadFront(t, takeAll)
		f.upload(tt.query, tt.body).wantFailure(tt.status, tt.code)
		if len(f.store.images) != 1 {
			t.Errorf("%s: an image is left", tt.query)
		}
	}
	f := uploadFront(t, func(cloud.Image, io.Reader, func(int64)) (cloud.ImageInfo, error) { panic("a defect") })
	f.upload("name=a", "RAW").wantFailure(500, cloud.CodeInternal)
	if len(f.store.images) != 1 || len(f.store.forgotten) != 1 {
		t.Error("a panic of the sink leaves an image")
	}
	f = uploadFront(t, func(cloud.Image, io.Reader, func(int64)) (cloud.ImageInfo, error) {
		return cloud.ImageInfo{}, cloud.Errorf(cloud.CodeDiskFull, "There is no space left for images.")
	})
	f.upload("name=a", "RAW").wantFailure(507, cloud.CodeDiskFull)
	if f.store.forgotten[0].Code != cloud.CodeDiskFull {
		t.Errorf("forgotten for %v", f.store.forgotten[0])
	}
}

// forgetful is a store that takes no image as active.
type forgetful struct{ api.ImageUploads }

func (f forgetful) RecordImage(ctx context.Context, now time.Time, r cloud.ImageRecord) error {
	if r.State == cloud.ImageActive {
		return cloud.Errorf(cloud.CodeDiskFull, "The database has no space.")
	}
	return f.ImageUploads.RecordImage(ctx, now, r)
}

// The bytes were taken, and the record of them was not.
func TestAnUploadThatCannotBeRecordedLeavesNothing(t *testing.T) {
	h := newHouse(t, func(o *api.Options) { o.Uploads = forgetful{o.Uploads} })
	h.upload("name=a", "RAW").wantFailure(507, cloud.CodeDiskFull)
	if left, _, err := h.db.Images(context.Background(), operator, cloud.Filter{}, cloud.Page{}); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if len(h.store.removed) != 1 || h.store.removed[0].Kind != cloud.DiskImage {
		t.Errorf("removed: %v", h.store.removed)
	}
}

func TestClientThatLeavesInMidUploadLeavesNothing(t *testing.T) {
	started := make(chan struct{})
	f := uploadFront(t, func(img cloud.Image, r io.Reader, p func(int64)) (cloud.ImageInfo, error) {
		close(started)
		return takeAll(img, r, p)
	})
	srv := httptest.NewServer(f)
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write([]byte("RAW"))
		<-started
		cancel()
	}()
	c, err := client.New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadImage(ctx, wire.UploadImage{Name: "a"}, pr, 1<<20, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		f.store.mu.Lock()
		left, why := len(f.store.images), f.store.forgotten
		f.store.mu.Unlock()
		if left == 1 && len(why) == 1 {
			if why[0].Code != cloud.CodeImageTruncated {
				t.Errorf("forgotten for %v", why[0])
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d images are left", left)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRefusedUploadIsAnsweredBeforeItsBytes(t *testing.T) {
	f := uploadFront(t, func(_ cloud.Image, r io.Reader, _ func(int64)) (cloud.ImageInfo, error) {
		_, _ = io.ReadFull(r, make([]byte, 4096))
		return cloud.ImageInfo{}, cloud.Errorf(cloud.CodeImageFormat, "The bytes are neither raw nor qcow2.")
	})
	srv := httptest.NewServer(f)
	defer srv.Close()
	c, err := client.New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]cloud.Code{"debian-12": cloud.CodeNameTaken, "a": cloud.CodeImageFormat} {
		body := &endless{}
		_, err := c.UploadImage(context.Background(), wire.UploadImage{Name: name, LoginUser: "root", Default: true}, io.LimitReader(body, 1<<30), 1<<30, nil)
		if client.CodeOf(err) != string(want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImportByURLIsWantedAtOnce(t *testing.T) {
	f := newFront(t)
	a := f.do("POST", "/v1/images", `{"name":"deb 13","url":"https://example.org/x.qcow2","labels":{"a":"b"}}`).want(http.StatusAccepted)
	img := decoded[wire.Image](a)
	if img.State != "queued" || img.Source != "url" || img.Firmware != "bios" || img.Labels["a"] != "b" {
		t.Errorf("got %s", a.body)
	}
	l := decoded[wire.List[wire.Image]](f.do("GET", "/v1/images?state=queued", "").want(200))
	if len(l.Items) != 1 {
		t.Errorf("%d images are queued", len(l.Items))
	}
	f.do("DELETE", "/v1/images/"+img.ID, "").want(204)
	f.do("GET", "/v1/images/"+img.ID, "").wantFailure(404, cloud.CodeNotFound)
	f.store.fill(1)
	f.do("DELETE", "/v1/images/"+debianImage, "").wantFailure(409, cloud.CodeInUse)
}

func TestOwnCheckOfURLsIsAsked(t *testing.T) {
	f := newFront(t, func(o *api.Options) { o.URLCheck = func(string) error { return nil } })
	f.do("POST", "/v1/images", `{"name":"a","url":"http://10.0.0.1/x"}`).want(202)
}
