package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// trickle gives two MiB of a disk at once, and the rest slowly, for as long as the
// test likes.
type trickle struct {
	ended chan struct{}
	n     int
}

func (s *trickle) Read(p []byte) (int, error) {
	if s.n > 2<<20 {
		select {
		case <-s.ended:
			return 0, io.ErrUnexpectedEOF
		case <-time.After(50 * time.Millisecond):
		}
	}
	n := min(len(p), 32<<10)
	clear(p[:n])
	if s.n == 0 && n >= 512 {
		p[510], p[511] = 0x55, 0xaa // a boot sector's mark
	}
	s.n += n
	return n, nil
}

// wantStop stops lodged and says when that takes as long as an import would.
func (l *lab) wantStop(what string) {
	l.t.Helper()
	start := time.Now()
	l.stop()
	if took := time.Since(start); took > 15*time.Second {
		l.t.Errorf("with %s under way lodged took %s to stop", what, took)
	}
}

func TestAnUploadEndsWhenLodgedStops(t *testing.T) {
	l := newLab(t)
	ended := make(chan struct{})
	defer close(ended)
	got := make(chan string, 1)
	go func() {
		req, err := http.NewRequest("POST", "http://lodge/v1/images?name=slow", &trickle{ended: ended})
		if err != nil {
			got <- err.Error()
			return
		}
		req.ContentLength = 1 << 30
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := l.http.Do(req)
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		got <- fmt.Sprint(resp.StatusCode, " ", string(b), err)
	}()
	l.eventually(10*time.Second, "the upload shows its progress", func() bool {
		select {
		case told := <-got:
			t.Fatalf("the upload ended: %s", told)
		default:
		}
		imgs := l.list("/v1/images")
		return len(imgs) == 1 && imgs[0]["state"] == "importing" && number(imgs[0]["bytes_done"]) > 0
	})
	l.wantStop("an upload")
	if told := <-got; !strings.HasPrefix(told, "503 ") || !strings.Contains(told, "upload the image again") {
		t.Errorf("the client was told: %s", told)
	}
	l.start()
	if imgs := l.list("/v1/images"); len(imgs) != 0 {
		t.Errorf("left of the upload: %v", imgs)
	}
	l.importTiny()
	l.tiny("a")
}

func TestADownloadEndsWhenLodgedStopsAndBeginsAnewAfterwards(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	asked := make(chan struct{}, 100)
	whole := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-whole:
			http.ServeFile(w, r, os.Getenv("LODGE_TINY_IMAGE"))
		default:
			_, _ = io.Copy(w, &trickle{ended: ended})
		}
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close() })
	defer close(ended)

	l := newLab(t, "--import-allow", "127.0.0.0/8")
	if a := l.call("POST", "/v1/images", map[string]any{"name": "tiny", "default": true, "url": "http://" + ln.Addr().String() + "/tiny.qcow2"}); a.status != 202 {
		t.Fatalf("import: %d %v", a.status, a.body)
	}
	<-asked
	l.eventually(10*time.Second, "the download is under way", func() bool { return l.list("/v1/images")[0]["state"] == "importing" })
	l.wantStop("a download")
	close(whole)
	l.start()
	l.eventually(time.Minute, "the image is there", func() bool { return l.list("/v1/images")[0]["state"] == "active" })
	l.tiny("a")
}
