package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

func get(t *testing.T, f *Fetcher, url string) (string, int64, error) {
	t.Helper()
	body, total, err := f.Fetch(context.Background(), url)
	if err != nil {
		return "", 0, err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	return string(b), total, err
}

func wantCode(t *testing.T, err error, code cloud.Code) {
	t.Helper()
	if cloud.CodeOf(err) != code {
		t.Errorf("got %v (%s), want %s", err, cloud.CodeOf(err), code)
	}
}

func TestABodyArrivesWithItsLength(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("User-Agent") != "lodge" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = io.WriteString(w, "an image")
	})
	b, total, err := get(t, New(Options{Allow: loopback}), url)
	if b != "an image" || total != 8 || err != nil {
		t.Errorf("%q, %d, %v", b, total, err)
	}
}

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	asked := false
	url := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	f := New(Options{})
	_, _, err := get(t, f, url)
	wantCode(t, err, cloud.CodeURLRefused)
	// A name is judged by what it resolves to, at the moment of dialling.
	named := strings.Replace(url, "127.0.0.1", "localhost.", 1)
	_, _, err = get(t, f, named)
	wantCode(t, err, cloud.CodeURLRefused)
	// Even when the text of the URL passes the quick check.
	_, err = f.client.Get(url)
	wantCode(t, err, cloud.CodeURLRefused)
	if asked {
		t.Error("the server was asked")
	}
}

func TestRedirectsAreFollowedCountedAndJudged(t *testing.T) {
	var url string
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		switch {
		case r.URL.Path == "/inside":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		case r.URL.Path == "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case r.URL.Path == "/user":
			http.Redirect(w, r, "http://u:p@example.com/", http.StatusFound)
		default:
			if _, err := fmt.Sscanf(r.URL.Path, "/hop/%d", &n); err != nil || n == 0 {
				_, _ = io.WriteString(w, "end")
				return
			}
			http.Redirect(w, r, fmt.Sprintf("%s/hop/%d", url, n-1), http.StatusFound)
		}
	})
	f := New(Options{Allow: loopback})
	if b, _, err := get(t, f, url+"/hop/5"); b != "end" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	_, _, err := get(t, f, url+"/hop/6")
	wantCode(t, err, cloud.CodeURLFailed)
	for _, path := range []string{"/inside", "/file", "/user"} {
		_, _, err := get(t, f, url+path)
		wantCode(t, err, cloud.CodeURLRefused)
	}
}

func TestOtherAnswersThan200Fail(t *testing.T) {
	for _, status := range []int{204, 206, 403, 404, 500} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, _, err := get(t, New(Options{Allow: loopback}), url)
		wantCode(t, err, cloud.CodeURLFailed)
		if !strings.Contains(cloud.MessageOf(err), fmt.Sprint(status)) {
			t.Error(cloud.MessageOf(err))
		}
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	_, _, err := get(t, New(Options{Allow: loopback}), closed.URL)
	wantCode(t, err, cloud.CodeURLFailed)
}

func TestABodyBeyondTheLimitIsRefused(t *testing.T) {
	announced := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345") })
	chunked := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			_, _ = io.WriteString(w, "1")
			w.(http.Flusher).Flush()
		}
	})
	for _, url := range []string{announced, chunked} {
		_, _, err := get(t, New(Options{Allow: loopback, MaxBytes: 4}), url)
		wantCode(t, err, cloud.CodeImageTooBig)
		_, _, err = get(t, New(Options{Allow: loopback, MaxBytes: 5}), url)
		wantCode(t, err, "")
	}
}

func TestASilentServerIsGivenUp(t *testing.T) {
	end := make(chan struct{})
	hang := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "some")
			w.(http.Flusher).Flush()
		}
		<-end
	}
	url := serve(t, hang)
	defer close(end)
	f := New(Options{Allow: loopback, HeaderTime: 50 * time.Millisecond, IdleTime: 50 * time.Millisecond})
	for _, path := range []string{"/header", "/body"} {
		_, _, err := get(t, f, url+path)
		wantCode(t, err, cloud.CodeURLFailed)
	}
}

// A byte now and then is not enough; a slow disk on our side is no fault of the
// server.
func TestAServerThatTricklesIsGivenUp(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	f := New(Options{Allow: loopback, IdleTime: 200 * time.Millisecond, MinBytes: 1000})
	_, _, err := get(t, f, url)
	wantCode(t, err, cloud.CodeURLFailed)

	whole := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 300_000)) })
	body, _, err := f.Fetch(context.Background(), whole)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	buf := make([]byte, 100_000)
	for n := 0; n < 300_000; {
		time.Sleep(150 * time.Millisecond)
		m, err := io.ReadFull(body, buf)
		if n += m; err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestACutOffBodyAndACanceledContextAreTold(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "1234")
	})
	f := New(Options{Allow: loopback})
	if _, _, err := get(t, f, url); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := f.Fetch(ctx, url); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestCheckJudgesTheText(t *testing.T) {
	f := New(Options{})
	for _, url := range []string{
		"", "x", "ftp://example.com/x", "file:///etc/passwd", "//example.com/x", "http:example.com", "http://", "http:///x",
		"http://u:p@example.com/", "http://u@example.com/", "http://exa mple.com/", "http://example.com:port/",
		"http://example.com:0/", "http://example.com:65536/", "http://1.1.1.1:99999/", "http://example.com:18446744073709551617/",
		"http://localhost/", "http://LOCALHOST./", "http://a.localhost:80/",
		"http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://0/",
		"http://10.1.2.3/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://100.64.0.1/",
		"http://169.254.169.254/latest", "http://0.0.0.0/", "http://255.255.255.255/", "http://224.0.0.1/", "http://198.18.0.1/",
		"http://[::1]/", "http://[::]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fd00::1]/", "http://[ff02::1]/",
		"http://[::ffff:127.0.0.1]/", "http://[::ffff:a9fe:a9fe]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
		"http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::1]/", "http://[2002:7f00:1::]/", "http://[::ffff:0:127.0.0.1]/", "http://[::ffff:0:a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/",
		"http://[2001:0:1:2:3:4:80ff:fffe]/", "https://example.com/" + strings.Repeat("x", 2048),
	} {
		if err := f.Check(url); cloud.CodeOf(err) != cloud.CodeURLRefused {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{
		"https://cloud.debian.org/images/x.qcow2", "http://example.com:8080/x?y=z#f", "https://1.1.1.1/", "http://172.32.0.1/",
		"http://[2606:4700::1111]/", "http://[64:ff9b::101:101]/", "http://localhost.example.com/", "HTTPS://EXAMPLE.COM/",
		"http://example.com:1/", "http://example.com:65535/", "http://example.com:/",
	} {
		if err := f.Check(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	allowed := New(Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	for _, url := range []string{"http://localhost/", "http://127.0.0.1/", "http://10.1.2.3/", "http://[::ffff:10.1.2.3]/", "http://[64:ff9b::a00:1]/"} {
		if err := allowed.Check(url); err != nil {
			t.Errorf("allowed %s: %v", url, err)
		}
	}
}

func TestARefusalSaysWhatIsWrongWithTheURL(t *testing.T) {
	f := New(Options{})
	for url, want := range map[string]string{
		"http://127.1/":            "The URL's host looks like an IP address but is not written as one; write it as four numbers, or give a name.",
		"http://0.0.0.0/":          "The URL leads to an unspecified address; only public ones are called, unless the operator allows others.",
		"http://10.1.2.3/":         "The URL leads to a private address; only public ones are called, unless the operator allows others.",
		"http://example.com:0/":    "The URL's port 0 is not one from 1 to 65535.",
		"http://example.com:65536": "The URL's port 65536 is not one from 1 to 65535.",
		"example.com/x.qcow2":      "The URL has no scheme; begin it with https:// or http://.",
		"//example.com/x.qcow2":    "The URL has no scheme; begin it with https:// or http://.",
		"ftp://example.com/x":      "The URL's scheme is not http or https.",
	} {
		if got := cloud.MessageOf(f.Check(url)); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}
