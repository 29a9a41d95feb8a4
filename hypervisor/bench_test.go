package hypervisor

import (
	"context"
	"os"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"lodge/cloud"
	"lodge/hypervisor/contract"
)

// BenchmarkGuestAgainstRawCalls measures define, start, look and remove beside
// the bare libvirt calls, in turns, so that both meet the same machine.
func BenchmarkGuestAgainstRawCalls(b *testing.B) {
	if os.Getenv("LODGE_WORLD") != "1" {
		b.Skip("needs scripts/world")
	}
	h := open(b, "qemu:///system", AccelAuto)
	h.opts.defineFlags = 0
	conn, dir, ctx := dial(b, "qemu:///system"), sharedDir(b), context.Background()
	took := map[string]time.Duration{}
	clock := func(what string, f func() error) {
		began := time.Now()
		must(b, f())
		took[what] += time.Since(began)
	}
	var d *libvirt.Domain
	for b.Loop() {
		spec := small(b, blank(b, dir))
		clock("lodge-define", func() error { return h.DefineGuest(ctx, spec) })
		clock("lodge-start", func() error { return h.PowerGuest(ctx, spec.ID, cloud.ActStart) })
		clock("lodge-look", func() error { _, err := h.LookGuests(ctx, []string{spec.ID}); return err })
		clock("lodge-remove", func() error { return h.RemoveGuest(ctx, spec.ID) })

		spec.ID = contract.NewID()
		dom, err := domain(spec, h.facts.Load().shape, consolePath(h.opts.ConsoleDir, spec.ID))
		must(b, err)
		text, err := dom.Marshal()
		must(b, err)
		clock("raw-define", func() error { d, err = conn.DomainDefineXML(text); return err })
		clock("raw-start", func() error { return d.Create() })
		clock("raw-look", func() error { _, _, err := d.GetState(); return err })
		clock("raw-remove", func() error {
			must(b, d.Destroy())
			return d.UndefineFlags(libvirt.DOMAIN_UNDEFINE_NVRAM)
		})
		free(d)
	}
	for what, t := range took {
		b.ReportMetric(float64(t.Microseconds())/1000/float64(b.N), what+"-ms")
	}
}

// BenchmarkLookAt100Guests is a sweep's look at guests that are off.
func BenchmarkLookAt100Guests(b *testing.B) {
	if os.Getenv("LODGE_WORLD") != "1" {
		b.Skip("needs scripts/world")
	}
	h, dir, ctx := open(b, "qemu:///system", AccelAuto), sharedDir(b), context.Background()
	for range 100 {
		spec := small(b, blank(b, dir))
		must(b, h.DefineGuest(ctx, spec))
	}
	for b.Loop() {
		got, err := h.LookGuests(ctx, nil)
		if err != nil || len(got) != 100 {
			b.Fatal(len(got), err)
		}
	}
}
