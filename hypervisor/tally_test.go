package hypervisor

import (
	"context"
	"testing"

	"lodge/cloud"
	"lodge/virt"
	"lodge/virt/tally"
)

func TestAHandCallCostsFewCallsToLibvirt(t *testing.T) {
	needWorld(t)
	door := tally.Open(t)
	link := virt.Open(virt.Options{URI: door.URI})
	t.Cleanup(func() { must(t, link.Close()) })
	h, err := Open(Options{Link: link, ConsoleDir: sharedDir(t)})
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	ctx, spec := context.Background(), small(t, blank(t, sharedDir(t)))
	look := func() error { _, err := h.LookGuests(ctx, []string{spec.ID}); return err }
	lookAll := func() error { _, err := h.LookGuests(ctx, nil); return err }
	power := func(a cloud.PowerAction) func() error {
		return func() error { return h.PowerGuest(ctx, spec.ID, a) }
	}
	must(t, look()) // its connection waits for the rest
	door.Calls()
	for _, tt := range []struct {
		what string
		do   func() error
		want int
	}{
		{"look, not there", look, 2}, // by id, by name
		{"define", func() error { return h.DefineGuest(ctx, spec) }, 2},
		{"define again", func() error { return h.DefineGuest(ctx, spec) }, 3}, // with the mark
		{"look, never started", look, 5},                                      // lookup, mark, definition, state, saved memory
		{"start", power(cloud.ActStart), 3},
		{"look, running", look, 5}, // lookup, mark and definition of the next start, info, mark of the run
		{"look at all, running", lookAll, 5},
		{"shutdown", power(cloud.ActShutdown), 3},
		{"destroy", power(cloud.ActDestroy), 3},
		{"look, destroyed", look, 4},
		{"start again", power(cloud.ActStart), 3},
		{"remove, running", func() error { return h.RemoveGuest(ctx, spec.ID) }, 4},
	} {
		must(t, tt.do())
		if got := door.Calls(); got != tt.want {
			t.Errorf("%s: %d calls, want %d", tt.what, got, tt.want)
		}
	}
}
