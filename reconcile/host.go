package reconcile

import (
	"context"
	"io"
	"time"

	"lodge/cloud"
)

// The host's hands, as the loop needs them. Every method is one attempt, may be
// called again at any time, and finds what it asked for already done without an
// error. A look with nil ids looks at everything that carries lodge's mark; a
// look with ids looks at those only and leaves out what is not there.

// Guests are the guests of one host.
type Guests interface {
	// LookGuests reports guests by id. A domain that has the id or the name of
	// an asked one without lodge's mark is reported with Foreign.
	LookGuests(ctx context.Context, ids []string) (map[string]cloud.Guest, error)
	// DefineGuest makes the definition of the next start equal to the spec. A
	// running guest runs on unchanged.
	DefineGuest(ctx context.Context, spec cloud.GuestSpec) error
	// PowerGuest does one action. ActShutdown and ActReboot return when the
	// guest was asked, not when it obeyed.
	PowerGuest(ctx context.Context, id string, a cloud.PowerAction) error
	// RemoveGuest switches off and undefines, with NVRAM, saved memory and
	// console log.
	RemoveGuest(ctx context.Context, id string) error
	// WatchGuests calls moved with the id of each guest whose life changed, and
	// lost(false) when the link to the host breaks, lost(true) when it is back.
	// It returns when ctx ends. What it tells is a hint: the loop looks anyway.
	WatchGuests(ctx context.Context, moved func(id string), link func(up bool)) error
}

// Ends are the ends of runs, as the host wrote them down while nobody looked.
type Ends interface {
	// GuestEnd says whether the run that was on at since has ended, and when; now
	// is the present. What is not known is not over; it is no error.
	GuestEnd(ctx context.Context, id string, since, now time.Time) (cloud.GuestEnd, error)
}

// Counters are the byte counters of the guests' NICs.
type Counters interface {
	// ReadNICs reads the counters of all NICs that are plugged in, by MAC.
	ReadNICs(ctx context.Context) (map[string]cloud.NICCounter, error)
}

// Disks are the disks of one host.
type Disks interface {
	LookDisks(ctx context.Context, ids []string) (map[cloud.DiskKey]cloud.Disk, error)
	CreateDisk(ctx context.Context, spec cloud.DiskSpec) error
	WriteSeed(ctx context.Context, spec cloud.SeedSpec) error
	RemoveDisk(ctx context.Context, kind cloud.DiskKind, id string) error
	// ImportImage takes all bytes of an image or nothing.
	ImportImage(ctx context.Context, img cloud.Image, r io.Reader, progress func(done int64)) (cloud.ImageInfo, error)
}

// Nets are the networks of one host.
type Nets interface {
	LookNetworks(ctx context.Context, ids []string) (map[string]cloud.HostNetwork, error)
	EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) error
	RemoveNetwork(ctx context.Context, id string) error
	// EnsurePort gives the MAC its fixed address and name, in place of whatever
	// either had before.
	EnsurePort(ctx context.Context, networkID string, p cloud.PortSpec) error
	// RemovePort ends the fixed lease and releases the running one.
	RemovePort(ctx context.Context, networkID string, p cloud.PortSpec) error
}

// Fetcher opens a URL for an import. It refuses targets that a tenant must not
// reach through the host. total is 0 when unknown.
type Fetcher interface {
	Fetch(ctx context.Context, url string) (body io.ReadCloser, total int64, err error)
}

// Instances is what the loop needs of the store for instances.
type Instances interface {
	// DueInstances are the instances of the host that have something left to
	// do: a wish not observed, a task, or a problem whose retry time has come.
	DueInstances(ctx context.Context, hostID string, now time.Time) ([]string, error)
	// InstanceWishes returns the wishes with the ids, or all of the host that are
	// not gone when ids is nil.
	InstanceWishes(ctx context.Context, hostID string, ids []string) ([]cloud.InstanceWish, error)
	RecordInstance(ctx context.Context, r cloud.InstanceRecord) error
	// UnmeteredInstances are the instances whose guests were seen and whose meters do
	// not all run; the next record of each starts them.
	UnmeteredInstances(ctx context.Context, hostID string) ([]string, error)
}

// Traffic is what the loop needs of the store for the bytes of guests.
type Traffic interface {
	// RecordTraffic writes down what the counters of runs that go on have grown by.
	RecordTraffic(ctx context.Context, now time.Time, readings []cloud.TrafficReading) error
}

// Networks is what the loop needs of the store for networks.
type Networks interface {
	// NetworkWishes returns the networks of the host with the number of live
	// ports of instances that are not gone; deleted ones too until they are
	// recorded gone.
	NetworkWishes(ctx context.Context, hostID string, ids []string) ([]cloud.NetworkWish, error)
	RecordNetwork(ctx context.Context, now time.Time, id string, problem *cloud.Problem, gone bool) error
}

// Images is what the loop needs of the store for images.
type Images interface {
	// DueImages are images with state queued or importing and source URL, and
	// deleted ones that are not gone, whose retry time has come.
	DueImages(ctx context.Context, hostID string, now time.Time) ([]cloud.Image, error)
	ImageProgress(ctx context.Context, id string, done, total int64) error
	RecordImage(ctx context.Context, now time.Time, r cloud.ImageRecord) error
	// RecordImageFiles shows which images a look at all disks, begun at now, has not
	// found or found again.
	RecordImageFiles(ctx context.Context, hostID string, now time.Time, disks map[cloud.DiskKey]cloud.Disk) error
}

// Hosts is what the loop needs of the store for its own host.
type Hosts interface {
	// Heartbeat records that the guests of the host were looked at.
	Heartbeat(ctx context.Context, hostID string, at time.Time) error
	// RecordHostProblem shows or clears (nil) a problem on the host and, when
	// set, on each of its instances that has none of its own.
	RecordHostProblem(ctx context.Context, hostID string, now time.Time, p *cloud.Problem) error
	Host(ctx context.Context, hostID string) (cloud.Host, error)
}
