package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"lodge/api"
	"lodge/cloud"
	"lodge/metrics"
)

// flat is a store that costs nothing, so that what is measured is the front.
type flat struct {
	*fakeStore
	refs []cloud.Meta
	byID map[string]cloud.Instance
}

func (f *flat) InstanceRef(context.Context, cloud.Caller, string) (cloud.Meta, error) {
	return f.refs[0], nil
}

func (f *flat) InstanceRefs(context.Context, cloud.Caller, cloud.Filter, cloud.Page) ([]cloud.Meta, string, error) {
	return f.refs, "next", nil
}

func (f *flat) InstancesByID(_ context.Context, _ cloud.Caller, ids []string) (out []cloud.Instance, err error) {
	for _, id := range ids {
		out = append(out, f.byID[id])
	}
	return out, nil
}

// nothing takes an answer without keeping it.
type nothing struct {
	h http.Header
	n int
}

func (w *nothing) Header() http.Header         { return w.h }
func (w *nothing) WriteHeader(int)             {}
func (w *nothing) Write(b []byte) (int, error) { w.n += len(b); return len(b), nil }

func benchFront(b *testing.B, path string, change func(*flat)) {
	f := &flat{byID: map[string]cloud.Instance{}}
	front := newFront(b, func(o *api.Options) { f.fakeStore = o.Instances.(*fakeStore); o.Refs = f })
	for _, id := range f.fill(300) {
		i := f.instances[id]
		f.byID[id] = i
		f.refs = append(f.refs, cloud.Meta{ID: id, Revision: i.Revision})
	}
	req, err := http.NewRequest("GET", path, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &nothing{h: http.Header{}}
		front.ServeHTTP(w, req)
		if w.n < 500 {
			b.Fatalf("%d bytes", w.n)
		}
		change(f)
	}
}

func BenchmarkGetInstance(b *testing.B) {
	benchFront(b, "/v1/instances/00000000-0000-4000-8000-000000000001", func(*flat) {})
}

func BenchmarkList300(b *testing.B) {
	benchFront(b, "/v1/instances?limit=300", func(*flat) {})
}

// Ten of 300 have changed since the last look.
func BenchmarkList300Busy(b *testing.B) {
	n := 0
	benchFront(b, "/v1/instances?limit=300", func(f *flat) {
		for range 10 {
			r := &f.refs[n%300]
			n++
			r.Revision++
			i := f.byID[r.ID]
			i.Revision = r.Revision
			f.byID[r.ID] = i
		}
	})
}

// BenchmarkSocket is the whole way: client, unix socket, front, real store.
func BenchmarkSocket(b *testing.B) {
	h := newHouse(b)
	h.upload("name=debian-12&default=true&user=debian", "RAW").want(201)
	var id string
	for t := range 2 {
		h.do("POST", "/v1/tenants", fmt.Sprintf(`{"name":"t%d"}`, t)).want(201)
		h.upload(fmt.Sprintf("name=img&tenant=t%d", t), "RAW").want(201)
		for i := range 150 {
			id = h.create(fmt.Sprintf(`{"name":"vm%d","tenant":"t%d","image":"img","size":"c1-m1","labels":{"role":"web"},"ssh_keys":["%s"]}`, i, t, goodKey)).ID
			h.sees(id)
		}
	}
	sock := filepath.Join(b.TempDir(), "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	for name, path := range map[string]string{"GetInstance": "/v1/instances/" + id, "List300": "/v1/instances?limit=300"} {
		b.Run(name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", sock)
				}}}
			defer client.CloseIdleConnections()
			var bytes atomic.Int64
			b.SetParallelism(4) // 8 connections on 2 CPUs
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := client.Get("http://lodge" + path)
					if err != nil {
						b.Error(err)
						return
					}
					n, _ := io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					bytes.Store(n)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric(float64(bytes.Load()), "bytes")
		})
	}
}

// The same with somebody who counts.
func BenchmarkGetInstanceCounted(b *testing.B) {
	f := &flat{byID: map[string]cloud.Instance{}}
	front := newFront(b, func(o *api.Options) {
		f.fakeStore, o.Refs = o.Instances.(*fakeStore), f
		o.Now, o.Watch = time.Now, metrics.New(time.Now, metrics.Build{})
	})
	id := f.fill(1)[0]
	f.refs = []cloud.Meta{{ID: id, Revision: f.instances[id].Revision}}
	f.byID[id] = f.instances[id]
	req, err := http.NewRequest("GET", "/v1/instances/"+id, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		front.ServeHTTP(&nothing{h: http.Header{}}, req)
	}
}
