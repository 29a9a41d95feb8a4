package api_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"lodge/api"
	"lodge/auth"
)

// Over HTTP/2 nobody is waited for who is told to come again later.
func TestWhoIsToComeLaterIsNotWaitedFor(t *testing.T) {
	g := newGuarded(t, func(o *api.Options) { o.Rates = auth.NewRates(1, 1) })
	h, p := api.NewPools(g.options, time.Second, time.Hour)
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(c.CloseIdleConnections)
	for n := range 3 {
		body, end := io.Pipe() // never ends
		t.Cleanup(func() { end.Close() })
		req, err := http.NewRequest("POST", srv.URL+"/v1/instances", body)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		took := time.Since(begin)
		if later := resp.StatusCode == 429; resp.ProtoMajor != 2 || later != (n > 0) || later && took > 400*time.Millisecond {
			t.Errorf("%s %d after %s", resp.Proto, resp.StatusCode, took)
		}
	}
	eventually(t, "a request is not done", func() bool { return p.Busy() == 0 })
}
