package main

import (
	"context"
	"fmt"
	"io"

	"lodge/api/client"
	"lodge/api/wire"
)

// tryCreate says what a create would make.
func (a *app) tryCreate(ctx context.Context, c *client.Client, want wire.CreateInstance) error {
	got, err := c.TryCreateInstance(ctx, want)
	if err != nil {
		return err
	}
	return a.print(got, func() writer { return wouldBe(got) })
}

// wouldBe is a sentence, and what would change of the tenant's quota.
type wouldBe wire.DryRun

func (d wouldBe) write(w io.Writer) error {
	if in := d.Instance; in != nil {
		_, err := fmt.Fprintf(w, "%s would be made with %s, %s, a disk of %s and the image %s; nothing was done.\n",
			in.Name, count(in.VCPUs, "vCPU"), mib(in.MemoryMiB), gib(in.DiskGiB), in.Image)
		if err != nil {
			return err
		}
	}
	t := &table{header: []string{"RESOURCE", "NOW", "THEN", "LIMIT"}}
	for _, q := range d.Estimate.Quota {
		limit := "none"
		if q.Limit != nil {
			limit = fmt.Sprint(*q.Limit)
		}
		t.add(q.Resource, fmt.Sprint(q.Before), fmt.Sprint(q.After), limit)
	}
	return t.write(w)
}
