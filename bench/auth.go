package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	lodged "lodge/cmd/lodged/daemon"
)

// auth is what a token costs a read. Both sides are the same daemon in this
// process, the same instance and TCP on loopback at 8 connections, in turns; one
// listener says of its connections that they are the operator's socket, which
// needs no token.
func (b *bench) auth() error {
	const rounds, span = 7, 2 * time.Second
	dir := b.path("auth")
	d, err := lodged.Open(lodged.Config{
		DataDir: dir, Socket: b.path("auth.s"), Listen: "127.0.0.1:0", PlainHTTP: true, Sim: true, Accel: "tcg", Workers: 4,
		SweepEvery: time.Minute, NetworkPool: netip.MustParsePrefix("10.250.0.0/16"), VCPURatio: 1000, MemoryRatio: 100,
		Now: time.Now, NewID: uuid.NewString, Log: slog.New(slog.DiscardHandler), Out: io.Discard,
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	defer func() { stop(); <-ran }()

	open, err := serve(d.Handler(), func(l net.Listener) net.Listener { return asSocket{l} })
	if err != nil {
		return err
	}
	defer open.Close()
	guarded, err := serve(d.Handler(), func(l net.Listener) net.Listener { return l })
	if err != nil {
		return err
	}
	defer guarded.Close()

	token, path, err := (&daemon{http: toward(open.Addr)}).prepare()
	if err != nil {
		return err
	}
	if status, err := fetch(http.DefaultClient, "http://"+guarded.Addr+path, ""); err != nil || status != http.StatusUnauthorized {
		return fmt.Errorf("without a token: status %d, %v", status, err)
	}
	var without, with []float64
	for i := range rounds {
		turns := []func() error{
			func() error { n, err := reads(open.Addr, path, "", span); without = append(without, n); return err },
			func() error { n, err := reads(guarded.Addr, path, token, span); with = append(with, n); return err },
		}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return err
			}
		}
	}
	slices.Sort(without)
	slices.Sort(with)
	fmt.Printf("%-58s %18s\n", "GET one instance, 8 TCP connections, no token needed", fmt.Sprintf("%.0f/s", without[rounds/2]))
	fmt.Printf("%-58s %18s\n", "  the same with a token", fmt.Sprintf("%.0f/s", with[rounds/2]))
	share := with[rounds/2] / without[rounds/2]
	line("what a token leaves of the rate (medians)", fmt.Sprintf("%.0f%%", 100*share), ">= 80%", share >= 0.8)
	return nil
}

// asSocket says of each connection that it came by the operator's socket.
type asSocket struct{ net.Listener }

func (l asSocket) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return socketConn{c}, nil
}

type socketConn struct{ net.Conn }

func (socketConn) LocalAddr() net.Addr { return &net.UnixAddr{Name: "bench", Net: "unix"} }

func serve(h http.Handler, wrap func(net.Listener) net.Listener) (*http.Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Addr: l.Addr().String(), Handler: h}
	go func() { _ = s.Serve(wrap(l)) }() // it ends with Close
	return s, nil
}

// toward sends every request to one address.
func toward(addr string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}}}
}

// reads is how many a second 8 connections get.
func reads(addr, path, token string, span time.Duration) (float64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var n atomic.Int64
	var wg sync.WaitGroup
	var errs [8]error
	start := time.Now()
	for c := range errs {
		wg.Go(func() {
			for time.Since(start) < span {
				status, err := fetch(client, "http://"+addr+path, token)
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("status %d", status)
				}
				if errs[c] = err; err != nil {
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds(), errors.Join(errs[:]...)
}

func fetch(c *http.Client, url, token string) (int, error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// prepare makes an instance and a token of a member, and gives its path.
func (d *daemon) prepare() (token, path string, err error) {
	if err := d.haltImage(); err != nil {
		return "", "", err
	}
	var inst instance
	if err := d.call("POST", "/v1/instances", small("one"), &inst); err != nil {
		return "", "", err
	}
	if err := d.until(inst.ID, "running"); err != nil {
		return "", "", err
	}
	var k struct{ Secret string }
	err = d.call("POST", "/v1/tokens", map[string]any{"name": "bench", "tenant": "default", "role": "member"}, &k)
	return k.Secret, "/v1/instances/" + inst.ID, err
}
