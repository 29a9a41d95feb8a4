package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"lodge/api"
	"lodge/cloud"
	"lodge/hypervisor"
	"lodge/hypervisor/sim"
	"lodge/network"
	"lodge/reconcile"
	"lodge/storage"
	"lodge/virt"
)

// hands are the host's parts: real ones, or the pretend host.
type hands struct {
	name     string
	guests   reconcile.Guests
	ends     reconcile.Ends
	counters reconcile.Counters
	disks    reconcile.Disks
	nets     reconcile.Nets
	strays   reconcile.Strays
	console  api.Console
	describe func(context.Context) (cloud.Host, error)
	link     func() cloud.LinkStats // nil: there is no link
	closers  []io.Closer
}

func openHands(cfg Config, seen cloud.Observe) (hands, error) {
	if cfg.Sim {
		return simHands(cfg), nil
	}
	return realHands(cfg, seen)
}

func simHands(cfg Config) hands {
	h := sim.New(sim.Options{Now: cfg.Now, Latency: sim.Realistic()})
	return hands{name: "sim", guests: h, ends: h, counters: h, disks: h, nets: h, strays: h, console: h,
		describe: h.Describe}
}

func realHands(cfg Config, seen cloud.Observe) (h hands, err error) {
	defer func() {
		if err != nil {
			for _, c := range h.closers {
				err = errors.Join(err, c.Close())
			}
			h = hands{}
		}
	}()
	link := virt.Open(virt.Options{URI: cfg.LibvirtURI, Observe: seen})
	h.closers = append(h.closers, link)
	guests, err := hypervisor.Open(hypervisor.Options{
		URI: cfg.LibvirtURI, Link: link, Accel: cfg.Accel, ConsoleDir: cfg.path("console"), Log: cfg.Log,
	})
	if err != nil {
		return h, fmt.Errorf("hypervisor: %w", err)
	}
	h.closers = append(h.closers, guests)
	disks, err := storage.Open(storage.Options{
		Link: link, Dir: cfg.path("disks"), MaxImageBytes: cfg.MaxImageBytes, MaxVirtualBytes: cfg.MaxVirtualBytes,
	})
	if err != nil {
		return h, fmt.Errorf("storage: %w", err)
	}
	h.closers = append(h.closers, disks)
	nets, err := network.Open(network.Options{Link: link})
	if err != nil {
		return h, fmt.Errorf("network: %w", err)
	}
	h.closers = append(h.closers, nets)
	h.ends, h.counters = guests, guests
	h.name, h.guests, h.disks, h.nets, h.strays, h.console = cfg.LibvirtURI, guests, disks, nets, nets, guests
	h.describe, h.link = guests.Describe, link.Stats
	return h, nil
}

// localHost is what the kernel says of this machine.
func localHost() (cloud.Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return cloud.Host{}, fmt.Errorf("host name: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return cloud.Host{}, fmt.Errorf("host memory: %w", err)
	}
	total := uint64(info.Totalram) * uint64(info.Unit)
	return cloud.Host{Name: name, VCPUs: runtime.NumCPU(), MemoryMiB: int(total >> 20), Hypervisor: "unknown: libvirt has not answered yet", Accel: "unknown"}, nil
}
