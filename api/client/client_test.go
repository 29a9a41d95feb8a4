package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/api/wire"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(srv.URL, WithUserAgent("test/1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func TestTargets(t *testing.T) {
	for target, ok := range map[string]bool{
		"/run/lodge.sock": true, "unix:///run/lodge.sock": true, "unix:/run/lodge.sock": true, "./lodge.sock": true,
		"http://localhost:8080": true, "https://lodge.example/": true,
		"": false, "lodge.sock": false, "ftp://x": false, "http://": false, "unix://": false, "localhost:8080": false,
	} {
		if _, err := New(target); (err == nil) != ok {
			t.Errorf("%q: %v", target, err)
		}
	}
}

func TestUnixSocketAndItsAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(t.Context()); !IsUnreachable(err) || IsNotFound(err) {
		t.Errorf("without a server: %v", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, wire.Version{Version: r.UserAgent()})
	})}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	if v, err := c.Version(t.Context()); err != nil || v.Version != "lodge-client" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestFailuresBecomeErrors(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("name") {
		case "proxy":
			http.Error(w, "<html>Bad Gateway</html>", http.StatusBadGateway)
		case "json":
			_, _ = io.WriteString(w, "{")
		default:
			answer(w, 400, wire.Failure{Status: 400, Code: "invalid_request", Detail: "2 fields are not valid.", RequestID: "r1",
				Errors: []wire.FieldError{{Field: "name", Message: "Too long."}, {Field: "size", Message: "Too big."}}})
		}
	})
	_, err := c.Instances(t.Context(), Query{})
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.Code != "invalid_request" || e.RequestID != "r1" || len(e.Fields) != 2 {
		t.Fatalf("%#v", err)
	}
	if got := e.Error(); got != "2 fields are not valid. name: Too long. size: Too big." {
		t.Errorf("%q", got)
	}
	if got := (&Error{Detail: "Too long.", Fields: []wire.FieldError{{Field: "name", Message: "Too long."}}}).Error(); got != "Too long." {
		t.Errorf("%q", got)
	}
	_, err = c.Instances(t.Context(), Query{Name: "proxy"})
	if !errors.As(err, &e) || e.Status != 502 || !strings.Contains(err.Error(), "502") {
		t.Errorf("%v", err)
	}
	if _, err = c.Instances(t.Context(), Query{Name: "json"}); err == nil {
		t.Error("half an answer is taken")
	}
}

func TestAllReadsEveryPart(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		l := wire.List[wire.Instance]{Items: []wire.Instance{{Name: strconv.Itoa(from)}}}
		if from < 3 {
			l.Next = strconv.Itoa(from + 1)
		}
		answer(w, 200, l)
	})
	items, err := c.AllInstances(t.Context(), Query{Tenant: "a b", State: "running"})
	if err != nil || len(items) != 4 || items[3].Name != "3" {
		t.Errorf("%+v, %v", items, err)
	}
	if asked[1] != "cursor=1&limit=500&state=running&tenant=a+b" {
		t.Errorf("asked %q", asked)
	}
}

func TestWaitTellsEveryChangeOnceAndPutsUpWithARestart(t *testing.T) {
	var n atomic.Int64
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch k := n.Add(1); {
		case k == 2:
			answer(w, 503, wire.Failure{Status: 503, Code: "unavailable", Detail: "Later."})
		case k == 3:
			panic(http.ErrAbortHandler) // the connection breaks
		case k < 5:
			answer(w, 200, wire.Instance{ID: "i", Revision: 1, State: "building"})
		default:
			answer(w, 200, wire.Instance{ID: "i", Revision: 2, State: "running"})
		}
	})
	var seen []string
	in, err := c.WaitInstance(t.Context(), "i", func(i wire.Instance) bool { return i.State == "running" }, func(i wire.Instance) { seen = append(seen, i.State) })
	if err != nil || in.State != "running" || strings.Join(seen, " ") != "building running" {
		t.Errorf("%+v, %v, seen %v", in, err, seen)
	}
}

func TestWaitEnds(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/nobody") {
			answer(w, 404, wire.Failure{Status: 404, Code: "not_found", Detail: "No."})
			return
		}
		answer(w, 200, wire.Instance{ID: "i", Revision: 1})
	})
	never := func(wire.Instance) bool { return false }
	if _, err := c.WaitInstance(t.Context(), "nobody", never, nil); !IsNotFound(err) {
		t.Errorf("%v", err)
	}
	if err := c.WaitGone(t.Context(), "nobody", nil); err != nil {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.WaitInstance(ctx, "i", never, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestUploadTellsItsProgress(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		answer(w, 201, wire.Image{Name: r.URL.RawQuery + " " + r.Header.Get("Content-Type"), SizeBytes: n, BytesTotal: r.ContentLength})
	})
	var told []int64
	body := strings.Repeat("x", 3<<20)
	img, err := c.UploadImage(t.Context(), wire.UploadImage{Name: "a", Default: true}, strings.NewReader(body), int64(len(body)), func(done int64) { told = append(told, done) })
	if err != nil || img.SizeBytes != 3<<20 || img.BytesTotal != 3<<20 || img.Name != "default=true&name=a application/octet-stream" {
		t.Errorf("%+v, %v", img, err)
	}
	if len(told) == 0 || told[len(told)-1] != 3<<20 {
		t.Errorf("told %v", told)
	}
	if img, err = c.UploadImage(t.Context(), wire.UploadImage{Name: "a"}, strings.NewReader("abc"), -1, nil); err != nil || img.SizeBytes != 3 || img.BytesTotal != -1 {
		t.Errorf("size not known: %+v, %v", img, err)
	}
}

func TestPathsAreEscaped(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer(w, 404, wire.Failure{Status: 404, Code: "not_found", Detail: r.Method + " " + r.URL.EscapedPath() + "?" + r.URL.RawQuery})
	})
	_, err := c.DeleteInstance(t.Context(), "a/b?c")
	if err == nil || err.Error() != "DELETE /v1/instances/a%2Fb%3Fc?" {
		t.Errorf("%v", err)
	}
}

func TestUploadEndsWithItsContextThoughTheSourceBlocks(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	source, feed := io.Pipe()
	defer feed.Close()
	if _, err := c.UploadImage(ctx, wire.UploadImage{Name: "a"}, source, -1, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	broken := errors.New("the source broke")
	if _, err := c.UploadImage(t.Context(), wire.UploadImage{Name: "a"}, io.MultiReader(strings.NewReader("abc"), failing{broken}), 10, nil); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestQuotasGoToTheirTenant(t *testing.T) {
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Method+" "+r.URL.EscapedPath()+" "+string(b))
		answer(w, 200, wire.List[wire.Quota]{Items: []wire.Quota{{Resource: "vcpus", Used: 3}}})
	}))
	t.Cleanup(srv.Close)
	c, err := New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	none := wire.SetQuotas{Limits: map[string]*int64{"vcpus": nil}}
	for _, do := range []func() ([]wire.Quota, error){
		func() ([]wire.Quota, error) { return c.Quota(t.Context(), "a/b") },
		func() ([]wire.Quota, error) { return c.SetQuota(t.Context(), "t", none) },
		func() ([]wire.Quota, error) { return c.DefaultQuota(t.Context()) },
		func() ([]wire.Quota, error) { return c.SetDefaultQuota(t.Context(), none) },
	} {
		if got, err := do(); err != nil || len(got) != 1 || got[0].Used != 3 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	want := []string{"GET /v1/tenants/a%2Fb/quota ", `PATCH /v1/tenants/t/quota {"limits":{"vcpus":null}}`, "GET /v1/quota ", `PATCH /v1/quota {"limits":{"vcpus":null}}`}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}
