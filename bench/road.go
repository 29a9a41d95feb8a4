package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"lodge/api"
	"lodge/cloud"
	"lodge/hypervisor/sim"
	"lodge/reconcile"
)

// road is all that a create passes: the API, the store, the loop and a pretend
// host, put together as lodged does, in this process. What is left out is its
// certificates, tokens and rates, and the times that a real host takes.
type road struct {
	http *httptest.Server
	stop func()
}

func openRoad(b *books, metered bool) (*road, error) {
	host := sim.New(sim.Options{Now: time.Now})
	img, err := b.Image(context.Background(), benchOperator, "debian", b.tenants[0])
	if err != nil {
		return nil, err
	}
	disk := make([]byte, 1<<20)
	disk[510], disk[511] = 0x55, 0xaa // a boot sector
	if _, err := host.ImportImage(context.Background(), cloud.Image{Meta: cloud.Meta{ID: img.ID}}, bytes.NewReader(disk), nil); err != nil {
		return nil, err
	}
	var seen reconcile.Instances = b.DB
	if !metered {
		seen = blind{b.DB}
	}
	log := slog.New(slog.DiscardHandler)
	loop := reconcile.New(reconcile.Options{
		HostID: ledgerHost, Guests: host, Ends: host, Disks: host, Nets: host,
		Instances: seen, Networks: b, Images: b, Hosts: b, Bell: b.Bell(),
		Now: time.Now, Log: log, Workers: 4, SweepEvery: time.Minute,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = loop.Run(ctx) })
	front := httptest.NewServer(b.front(time.Now))
	return &road{front, func() { cancel(); wg.Wait() }}, nil
}

// front is the API before a store, to which everybody is the operator.
func (b *books) front(now func() time.Time) http.Handler {
	return api.New(api.Options{
		Tenants: b, Flavors: b, Images: b, Networks: b, Instances: b, Refs: b, Events: b, Usage: b, Facts: b, Hosts: b, Health: b,
		Prices: b, Discounts: b, Invoices: b, Billing: b, Budgets: b, Webhooks: b, Schedules: b, Quotas: b, Operations: b, Audit: b,
		Now: now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
		Caller: func(*http.Request) (cloud.Caller, error) { return benchOperator, nil },
	})
}

func (r *road) close() {
	r.http.Close()
	r.stop()
}

// blind records what is seen without its meters.
type blind struct{ reconcile.Instances }

func (b blind) RecordInstance(ctx context.Context, r cloud.InstanceRecord) error {
	r.Readings = nil
	return b.Instances.RecordInstance(ctx, r)
}

// create asks for an instance and waits for its operation, as a client does.
func (r *road) create(tenantID, name string) error {
	body := fmt.Sprintf(`{"name":%q,"vcpus":2,"memory_mib":4096,"disk_gib":20}`, name)
	resp, err := r.http.Client().Post(r.http.URL+"/v1/instances?tenant="+tenantID, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("create: %d %s %v", resp.StatusCode, text, err)
	}
	done, err := r.http.Client().Get(r.http.URL + resp.Header.Get("Operation-Location") + "?wait=30s")
	if err != nil {
		return err
	}
	defer done.Body.Close()
	var op struct{ State string }
	if err := json.NewDecoder(done.Body).Decode(&op); err != nil || op.State != string(cloud.OperationSucceeded) {
		return fmt.Errorf("the operation is %q: %v", op.State, err)
	}
	return nil
}
