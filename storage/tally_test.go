package storage_test

import (
	"context"
	"testing"

	"lodge/cloud"
	"lodge/storage"
	"lodge/virt"
	"lodge/virt/tally"
)

func TestAVolumeCostsFewCallsToLibvirtAndALookNone(t *testing.T) {
	needWorld(t)
	door := tally.Open(t)
	link := virt.Open(virt.Options{URI: door.URI})
	defer link.Close()
	p := open(t, storage.Options{Link: link})
	ctx := context.Background()
	create := func(n, gib int) func() error {
		return func() error { return p.CreateDisk(ctx, cloud.DiskSpec{ID: id(n), SizeGiB: gib}) }
	}
	if err := create(1, 1)(); err != nil { // makes the pool
		t.Fatal(err)
	}
	door.Calls()
	for _, tt := range []struct {
		what string
		do   func() error
		want int
	}{
		{"create, the first of its size", create(2, 2), 2}, // the pool, whether it runs; no refresh
		{"create again", create(2, 2), 0},
		{"(virsh looks, past this link)", func() error { run(t, "virsh", "pool-refresh", p.Name()); return nil }, 0},
		{"create, the second of its size", create(3, 2), 0},
		{"look", func() error { _, err := p.LookDisks(ctx, nil); return err }, 0},
		{"remove one that libvirt knows", func() error { return p.RemoveDisk(ctx, cloud.DiskVolume, id(2)) }, 3}, // it is told
		{"remove one that libvirt does not know", func() error { return p.RemoveDisk(ctx, cloud.DiskVolume, id(3)) }, 2},
		{"remove again", func() error { return p.RemoveDisk(ctx, cloud.DiskVolume, id(2)) }, 0},
	} {
		if err := tt.do(); err != nil {
			t.Fatal(err)
		}
		if got := door.Calls(); got != tt.want {
			t.Errorf("%s: %d calls, want %d", tt.what, got, tt.want)
		}
	}
}
