package store_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"lodge/cloud"
	"lodge/store"
)

// roomy gives each tenant a subnet for tens of thousands of instances.
var roomy = store.Options{NetworkPool: netip.MustParsePrefix("10.0.0.0/8"), SubnetBits: 16}

// crowd is a world with n instances that were asked for, on a host that can
// promise memory for half a million more.
func crowd(b testing.TB, n int) *world {
	w := newWorldWith(b, roomy)
	w.must(w.RegisterHost(ctx, w.now, cloud.Host{
		Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 1 << 16, MemoryMiB: 1 << 26, Accel: "kvm", StartedAt: w.now,
		VCPURatio: 64, MemoryRatio: 16,
	}))
	for i := range n {
		w.create(fmt.Sprintf("web%05d", i))
	}
	return w
}

func BenchmarkInstance(b *testing.B) {
	w := crowd(b, 300)
	one := w.run("the-one")
	c := cloud.Caller{TenantID: w.tenant.ID}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Instance(ctx, c, one.ID); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInstances300(b *testing.B) {
	w := crowd(b, 300)
	c := cloud.Caller{TenantID: w.tenant.ID}
	b.ReportAllocs()
	for b.Loop() {
		items, _, err := w.Instances(ctx, c, cloud.Filter{}, cloud.Page{Limit: 300})
		if err != nil || len(items) != 300 {
			b.Fatal(len(items), err)
		}
	}
}

// BenchmarkInstances300Cold reads the rows themselves: nothing is cached.
func BenchmarkInstances300Cold(b *testing.B) {
	w := crowd(b, 300)
	c := cloud.Caller{TenantID: w.tenant.ID}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		cold, err := store.Open(w.path)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, _, err := cold.Instances(ctx, c, cloud.Filter{}, cloud.Page{Limit: 300}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		cold.Close()
		b.StartTimer()
	}
}

func BenchmarkCreateInstance(b *testing.B) {
	w := crowd(b, 0)
	i := 0
	for b.Loop() {
		i++
		w.create(fmt.Sprintf("web%06d", i))
	}
}

func BenchmarkRecordInstanceUnchanged(b *testing.B) {
	w := crowd(b, 1)
	r := w.running(w.run("the-one"))
	b.ReportAllocs()
	for b.Loop() {
		w.record(r)
	}
}

// BenchmarkSweep10000 is what a sweep with nothing to do asks of the store.
func BenchmarkSweep10000(b *testing.B) {
	w := crowd(b, 10_000)
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			cold, err := store.Open(filepath.Clean(w.path))
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if wishes, err := cold.InstanceWishes(ctx, hostID, nil); err != nil || len(wishes) != 10_000 {
				b.Fatal(len(wishes), err)
			}
			b.StopTimer()
			cold.Close()
			b.StartTimer()
		}
	})
	b.Run("warm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if wishes, err := w.InstanceWishes(ctx, hostID, nil); err != nil || len(wishes) != 10_000 {
				b.Fatal(len(wishes), err)
			}
		}
	})
	b.Run("networks", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.NetworkWishes(ctx, hostID, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWaitOperation is one wait, from the look to the record that ends it,
// beside 200 others.
func BenchmarkWaitOperation(b *testing.B) {
	w := crowd(b, 0)
	i := 0
	for b.Loop() {
		i++
		in, op := w.createFollowed(fmt.Sprintf("web%06d", i))
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if o, err := w.WaitOperation(ctx, operator, op); err != nil || o.State != cloud.OperationSucceeded {
					b.Error(o.State, err)
				}
			})
		}
		w.record(w.running(in))
		wg.Wait()
	}
}
