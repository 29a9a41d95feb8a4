package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
)

// create makes one instance as a host with nothing to wait for would: asked for,
// its disk seen, seen running.
func (b *books) create(now time.Time, metered bool) (id string, err error) {
	ctx := context.Background()
	b.n++
	i, err := b.CreateInstance(ctx, benchOperator, now, cloud.NewInstance{
		ID: uuid.NewString(), VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: b.tenants[b.n%len(b.tenants)],
		Name: fmt.Sprintf("vm%d", b.n), VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20,
	})
	if err != nil {
		return "", err
	}
	for k, state := range []cloud.State{cloud.StateBuilding, cloud.StateRunning} {
		if err := b.see(i.ID, now.Add(time.Duration(k+1)*time.Second), state, metered); err != nil {
			return "", err
		}
	}
	return i.ID, nil
}

func (b *books) see(id string, now time.Time, state cloud.State, metered bool) error {
	r := cloud.InstanceRecord{ID: id, Generation: 1, State: state, RootSeen: true, At: now, Evidence: cloud.EvidenceSeen}
	if state == cloud.StateRunning {
		r.ObservedGeneration, r.RunningVCPUs, r.RunningMemoryMiB = 1, 2, 4096
	}
	if metered {
		r.Readings = cloud.Readings(state, cloud.Size{VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20}, true)
	}
	return b.RecordInstance(context.Background(), r)
}

// side is one of two that do the same, with metering or without.
type side struct {
	*books
	metered bool
	road    *road // nil: the store alone
	took    []time.Duration
	cpu     []time.Duration
	written []int64
}

// metering compares creates on two databases, in turns: the store's transactions
// alone, in memory and on a disk that is synced as in production, and the whole
// road from POST to running, on a host that takes no time for anything.
//
// That which does not meter is given no readings, and triggers ignore what else is
// written in the ledger; its two statements are still run.
func (b *bench) metering() error {
	for _, c := range []struct {
		what         string
		memory, road bool
	}{
		{"a create's three transactions in the store, in memory", true, false},
		{"a create's three transactions in the store, synced", false, false},
		{"POST to running on a host that takes no time, in memory", true, true},
		{"POST to running on a host that takes no time, synced", false, true},
	} {
		if err := b.creates(c.what, c.memory, c.road); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
	}
	return nil
}

func (b *bench) creates(what string, memory, whole bool) error {
	const rounds, each = 9, 100
	var sides [2]*side
	for i := range sides {
		dir, err := b.scratch(memory)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s := &side{metered: i == 1}
		if s.books, err = openBooks(dir, 10); err != nil {
			return err
		}
		defer s.Close()
		if !s.metered {
			if err := s.unmeter(); err != nil {
				return err
			}
		}
		if whole {
			if s.road, err = openRoad(s.books, s.metered); err != nil {
				return err
			}
			defer s.road.close()
		}
		sides[i] = s
	}
	for round := range rounds {
		for turn := range sides {
			if err := sides[(round+turn)%2].round(round, each); err != nil {
				return err
			}
		}
	}
	return report(what, sides[0], sides[1])
}

// scratch is a folder in memory or on the disk.
func (b *bench) scratch(memory bool) (string, error) {
	if memory {
		return os.MkdirTemp("/dev/shm", "lodge-bench-")
	}
	return os.MkdirTemp(b.dir, "books-")
}

func (b *books) unmeter() error {
	return b.exec(
		`CREATE TRIGGER no_fact BEFORE INSERT ON usage_fact BEGIN SELECT RAISE(IGNORE); END`,
		`DROP TRIGGER usage_seal_in_order`,
		`CREATE TRIGGER no_seal BEFORE INSERT ON usage_seal BEGIN SELECT RAISE(IGNORE); END`)
}

func (s *side) round(round, each int) error {
	cpu, written, from := usedCPU(), writtenBytes(), time.Now()
	for k := range each {
		var err error
		if s.road != nil {
			err = s.road.create(s.tenants[k%len(s.tenants)], fmt.Sprintf("vm%d-%d", round, k))
		} else {
			_, err = s.create(benchMorning.Add(time.Duration(round*each+k)*time.Minute), s.metered)
		}
		if err != nil {
			return err
		}
	}
	n := int64(each)
	s.took = append(s.took, time.Since(from)/time.Duration(n))
	s.cpu = append(s.cpu, (usedCPU()-cpu)/time.Duration(n))
	s.written = append(s.written, (writtenBytes()-written)/n)
	return nil
}

// report checks that one side metered and the other did not, and prints both.
func report(what string, without, with *side) error {
	for _, s := range []*side{without, with} {
		ivs, err := s.UsageIntervals(context.Background(), benchOperator, cloud.UsageFilter{TenantID: s.tenants[1]})
		if err != nil {
			return err
		}
		if s.metered != (len(ivs) > 0) {
			return errors.New("the sides are not what they are called")
		}
	}
	share := func(a, b float64) string { return fmt.Sprintf("%+.0f%%", (b/a-1)*100) }
	fmt.Println(what + ", not metered and metered:")
	a, b := median(without.took), median(with.took)
	more := float64(b-a) / float64(b)
	line("  time (medians)", fmt.Sprintf("%.2f ms, %.2f ms, %s", a.Seconds()*1000, b.Seconds()*1000, share(float64(a), float64(b))), "<= 5% of metered", more <= 0.05)
	a, b = median(without.cpu), median(with.cpu)
	fmt.Printf("%-58s %18s\n", "  CPU time of the process", fmt.Sprintf("%.2f ms, %.2f ms, %s", a.Seconds()*1000, b.Seconds()*1000, share(float64(a), float64(b))))
	x, y := middle(without.written), middle(with.written)
	fmt.Printf("%-58s %18s\n", "  bytes written", fmt.Sprintf("%d KiB, %d KiB, %s", x>>10, y>>10, share(float64(x), float64(y))))
	if with.road == nil {
		// The store's part is small beside the host's: a guest takes 254 ms to start
		// on the machine of docs/performance.md, with raw calls alone.
		const start = 254 * time.Millisecond
		a, b := median(without.took), median(with.took)
		line("  so of a create whose guest starts in 254 ms", fmt.Sprintf("%.2f%%", float64(b-a)/float64(start+b)*100), "<= 5%", float64(b-a)/float64(start+b) <= 0.05)
	}
	return nil
}

// usedCPU is the CPU time that this process has used. Unlike the time on the
// clock it is hardly any other on a busy machine.
func usedCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writtenBytes is what this process has written to files and sockets: proc_pid_io(5).
func writtenBytes() (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "wchar: ")
	_, _ = fmt.Sscan(rest, &n) // 0 when it is not there
	return n
}
