package failpoint

import (
	"context"
	"time"

	"lodge/cloud"
)

func (p points) DueInstances(ctx context.Context, h string, now time.Time) ([]string, error) {
	return ask(p, "DueInstances", func() ([]string, error) { return p.o.Instances.DueInstances(ctx, h, now) })
}

func (p points) InstanceWishes(ctx context.Context, h string, ids []string) ([]cloud.InstanceWish, error) {
	return ask(p, "InstanceWishes", func() ([]cloud.InstanceWish, error) { return p.o.Instances.InstanceWishes(ctx, h, ids) })
}

func (p points) UnmeteredInstances(ctx context.Context, h string) ([]string, error) {
	return ask(p, "UnmeteredInstances", func() ([]string, error) { return p.o.Instances.UnmeteredInstances(ctx, h) })
}

func (p points) RecordInstance(ctx context.Context, r cloud.InstanceRecord) error {
	return p.do("RecordInstance", func() error { return p.o.Instances.RecordInstance(ctx, r) })
}

func (p points) RecordTraffic(ctx context.Context, now time.Time, rs []cloud.TrafficReading) error {
	return p.do("RecordTraffic", func() error { return p.o.Traffic.RecordTraffic(ctx, now, rs) })
}

func (p points) NetworkWishes(ctx context.Context, h string, ids []string) ([]cloud.NetworkWish, error) {
	return ask(p, "NetworkWishes", func() ([]cloud.NetworkWish, error) { return p.o.Networks.NetworkWishes(ctx, h, ids) })
}

func (p points) RecordNetwork(ctx context.Context, now time.Time, id string, problem *cloud.Problem, gone bool) error {
	return p.do("RecordNetwork", func() error { return p.o.Networks.RecordNetwork(ctx, now, id, problem, gone) })
}

func (p points) DueImages(ctx context.Context, h string, now time.Time) ([]cloud.Image, error) {
	return ask(p, "DueImages", func() ([]cloud.Image, error) { return p.o.Images.DueImages(ctx, h, now) })
}

func (p points) ImageProgress(ctx context.Context, id string, done, total int64) error {
	return p.do("ImageProgress", func() error { return p.o.Images.ImageProgress(ctx, id, done, total) })
}

func (p points) RecordImage(ctx context.Context, now time.Time, r cloud.ImageRecord) error {
	return p.do("RecordImage", func() error { return p.o.Images.RecordImage(ctx, now, r) })
}

func (p points) RecordImageFiles(ctx context.Context, h string, now time.Time, disks map[cloud.DiskKey]cloud.Disk) error {
	return p.do("RecordImageFiles", func() error { return p.o.Images.RecordImageFiles(ctx, h, now, disks) })
}

func (p points) Heartbeat(ctx context.Context, h string, at time.Time) error {
	return p.do("Heartbeat", func() error { return p.o.Hosts.Heartbeat(ctx, h, at) })
}

func (p points) RecordHostProblem(ctx context.Context, h string, now time.Time, problem *cloud.Problem) error {
	return p.do("RecordHostProblem", func() error { return p.o.Hosts.RecordHostProblem(ctx, h, now, problem) })
}

func (p points) Host(ctx context.Context, h string) (cloud.Host, error) {
	return ask(p, "Host", func() (cloud.Host, error) { return p.o.Hosts.Host(ctx, h) })
}

func (p points) Unadopted(ctx context.Context) (bool, error) {
	return ask(p, "Unadopted", func() (bool, error) { return p.o.Restores.Unadopted(ctx) })
}

func (p points) Adopt(ctx context.Context, h string, now time.Time, as []cloud.Adoption, r cloud.RestoreReport, seen cloud.HostSight) error {
	return p.do("Adopt", func() error { return p.o.Restores.Adopt(ctx, h, now, as, r, seen) })
}

func (p points) RecordOrphans(ctx context.Context, h string, now time.Time, seen cloud.HostSight) error {
	return p.do("RecordOrphans", func() error { return p.o.Restores.RecordOrphans(ctx, h, now, seen) })
}
