// Command bench measures lodge against the same libvirt calls made raw, side by
// side in one run, and prints the figures of docs/performance.md. It runs inside
// a libvirt world; scripts/bench makes one.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	bin string // folder of lodged
	dir string // scratch
	end []func()

	daemons int
	rounds  int // of the comparison of bursts
}

func main() {
	var only string
	b := &bench{}
	flag.StringVar(&only, "only", "", "sections to run, with commas: create,burst,sim,idle,http,auth,once,scale,hours,metering,costs,year,fleet,focus")
	flag.StringVar(&b.bin, "bin", "bin", "folder with lodged")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds of the comparison of bursts")
	flag.Parse()

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() { <-interrupted; b.close(); os.Exit(130) }()

	err := b.run(only)
	b.close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func (b *bench) run(only string) (err error) {
	if b.dir, err = os.MkdirTemp("/var/tmp", "lodge-bench-"); err != nil {
		return err
	}
	b.end = append(b.end, func() { os.RemoveAll(b.dir) })
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	sections := []struct {
		name string
		run  func() error
	}{
		{"idle", b.idle}, {"http", b.http}, {"auth", b.auth}, {"once", b.once}, {"create", b.create}, {"burst", b.burst}, {"sim", b.sim}, {"scale", b.scale}, {"hours", b.closeHours}, {"metering", b.metering}, {"costs", b.costs}, {"year", b.ledgerSize}, {"fleet", b.fleet}, {"focus", b.focus},
	}
	for _, s := range sections {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		start := time.Now()
		if err := s.run(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, "(%s took %s)\n", s.name, time.Since(start).Round(time.Second))
	}
	return nil
}

func (b *bench) close() {
	for i := len(b.end) - 1; i >= 0; i-- {
		b.end[i]()
	}
	b.end = nil
}

func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

// line prints one figure beside what it has to reach.
func line(what, figure, goal string, ok bool) {
	mark := "reached"
	if !ok {
		mark = "MISSED"
	}
	fmt.Printf("%-58s %18s   goal %-16s %s\n", what, figure, goal, mark)
}

// median of a list of durations; the list is sorted.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func middle(n []int64) int64 {
	slices.Sort(n)
	return n[len(n)/2]
}

func spread(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("%s (%s .. %s)", ms(d[len(d)/2]), ms(d[0]), ms(d[len(d)-1]))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
