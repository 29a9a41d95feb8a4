package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// idle is the memory of a daemon with real libvirt and nothing to do.
func (b *bench) idle() error {
	d, err := b.daemon("idle")
	if err != nil {
		return err
	}
	defer d.stop()
	time.Sleep(5 * time.Second)
	rss, err := d.rss()
	if err != nil {
		return err
	}
	line("idle daemon, resident", fmt.Sprintf("%.1f MiB", rss), "< 40 MiB", rss < 40)
	return nil
}

// http is how many reads the API answers at 8 connections. The client runs on
// the same cores and is part of the figure.
func (b *bench) http() error {
	d, err := b.daemon("http", "--sim", "--workers", "64")
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.call("POST", "/v1/tenants", map[string]any{"name": "t1"}, nil); err != nil {
		return err
	}
	ids, err := d.many(300)
	if err != nil {
		return err
	}
	one, err := load(d, "/v1/instances/"+ids[0])
	if err != nil {
		return err
	}
	line("GET one instance, 8 connections", fmt.Sprintf("%.0f/s", one), ">= 7000/s", one >= 7000)
	list, err := load(d, "/v1/instances?limit=300")
	if err != nil {
		return err
	}
	line("list of 300 instances, 8 connections", fmt.Sprintf("%.0f/s", list), ">= 850/s", list >= 850)
	return nil
}

// many creates n instances and waits until all run.
func (d *daemon) many(n int) ([]string, error) {
	if err := d.haltImage(); err != nil {
		return nil, err
	}
	ids := make([]string, n)
	var errs [8]error
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := c; i < n; i += 8 {
				var inst instance
				if err := d.call("POST", d.tenantPath(i), small(fmt.Sprintf("vm%d", i)), &inst); err != nil {
					errs[c] = err
					return
				}
				ids[i] = inst.ID
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := d.until(id, "running"); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// tenantPath spreads instances over tenants: a network has 253 addresses.
func (d *daemon) tenantPath(i int) string {
	if i < 240 {
		return "/v1/instances"
	}
	return fmt.Sprintf("/v1/instances?tenant=t%d", i/240)
}

// load reads a path from 8 connections for 8 s.
func load(d *daemon, path string) (float64, error) {
	const span = 8 * time.Second
	var n atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	start := time.Now()
	for range 8 {
		wg.Go(func() {
			for time.Since(start) < span {
				resp, err := d.http.Get("http://lodge" + path)
				if err != nil {
					failed.Store(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					failed.Store(fmt.Errorf("status %d: %v", resp.StatusCode, err))
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return float64(n.Load()) / time.Since(start).Seconds(), nil
}

// sim is a pretend host with 10,000 instances: memory, and what a sweep costs
// that finds nothing to do.
func (b *bench) sim() error {
	const n, sweeps = 10_000, 4
	d, err := b.daemon("sim", "--sim", "--workers", "64", "--sweep", "10s")
	if err != nil {
		return err
	}
	defer d.stop()
	for t := 1; t <= n/240; t++ {
		if err := d.call("POST", "/v1/tenants", map[string]any{"name": fmt.Sprintf("t%d", t)}, nil); err != nil {
			return err
		}
	}
	start := time.Now()
	if _, err := d.many(n); err != nil {
		return err
	}
	fmt.Printf("%-58s %18s\n", "10,000 instances on the pretend host: all running after", time.Since(start).Round(time.Second))
	time.Sleep(20 * time.Second) // what is left over settles
	before, err := d.cpu()
	if err != nil {
		return err
	}
	time.Sleep(sweeps * 10 * time.Second)
	after, err := d.cpu()
	if err != nil {
		return err
	}
	each := (after - before) / sweeps
	line("a sweep over 10,000 instances with nothing to do, CPU", ms(each), "< 1 s", each < time.Second)
	rss, err := d.rss()
	if err != nil {
		return err
	}
	line("lodged with 10,000 instances (and their pretend host)", fmt.Sprintf("%.1f MiB", rss), "< 150 MiB", rss < 150)
	return nil
}
