package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

// DueInstances returns the ids of the instances of the host that have something
// left to do: a wish not observed, a task, a deletion, or a problem. One with a
// problem is due when its retry time has come, or when its owner has asked for
// something since it was last tried. The oldest come first.
func (d *DB) DueInstances(ctx context.Context, hostID string, now time.Time) ([]string, error) {
	ids, err := collect(d.read(ctx), func(rows *sql.Rows) (id string, err error) {
		return id, rows.Scan(&id)
	}, dueQuery, hostID, stamp(now))
	return ids, fail("list due instances", err)
}

// dueQuery repeats the condition of the index instance_due word for word, which
// is what lets SQLite use it.
const dueQuery = `
		SELECT id
		FROM instance
		WHERE host_id = ?
		  AND gone_at IS NULL
		  AND (observed_generation <> generation OR observed_boots <> boots OR task <> '' OR problem_code IS NOT NULL OR deleted_at IS NOT NULL)
		  AND (problem_code IS NULL OR problem_retry_at <= ? OR decided_generation < generation)
		ORDER BY created_at, id`

// InstanceWishes returns what is wanted of the instances with the ids, or of all
// of the host when ids is nil, with root volume, image and networks. Instances
// that were deleted are among them until they are gone; ids of others, of
// another host or of nothing, are left out.
func (d *DB) InstanceWishes(ctx context.Context, hostID string, ids []string) ([]cloud.InstanceWish, error) {
	s := d.read(ctx)
	refs, err := wishedOn(s, hostID, ids)
	if err != nil {
		return nil, fail("list instance wishes", err)
	}
	all, err := d.resolve(s, refs)
	if err != nil {
		return nil, fail("read instance wishes", err)
	}
	images, err := imagesOf(s, all)
	if err != nil {
		return nil, fail("read images of wishes", err)
	}
	networks, err := networksOf(s, all)
	if err != nil {
		return nil, fail("read networks of wishes", err)
	}
	wishes := make([]cloud.InstanceWish, len(all))
	for i, k := range all {
		wishes[i] = cloud.InstanceWish{
			Instance: k.instance,
			Root:     k.root,
			Image:    images[k.instance.ImageID],
			Networks: networks.of(k.instance.Ports),
		}
	}
	return wishes, nil
}

// wishedOn reads the references of the wishes; the time is not needed for them.
func wishedOn(s source, hostID string, ids []string) ([]revised, error) {
	const query = `
		SELECT
		  id,
		  revision,
		  0
		FROM instance
		WHERE host_id = ?
		  AND gone_at IS NULL`
	if ids == nil {
		return revisions(s, query+` ORDER BY id`, 256, hostID)
	}
	var out []revised
	for from := 0; from < len(ids); from += chunk {
		in, args := marks(ids[from:min(from+chunk, len(ids))])
		refs, err := revisions(s, query+` AND id IN (`+in+`) ORDER BY id`, chunk, append([]any{hostID}, args...)...)
		if err != nil {
			return nil, err
		}
		out = append(out, refs...)
	}
	return out, nil
}

// imagesOf reads each image that one of the instances was made from once.
func imagesOf(s source, all []*known) (map[string]cloud.Image, error) {
	seen := make(map[string]cloud.Image)
	var ids []string
	for _, k := range all {
		if _, there := seen[k.instance.ImageID]; !there {
			seen[k.instance.ImageID] = cloud.Image{}
			ids = append(ids, k.instance.ImageID)
		}
	}
	for from := 0; from < len(ids); from += chunk {
		in, args := marks(ids[from:min(from+chunk, len(ids))])
		images, err := collect(s, scanImage, imageQuery+` WHERE id IN (`+in+`)`, args...)
		if err != nil {
			return nil, err
		}
		for _, img := range images {
			seen[img.ID] = img
		}
	}
	return seen, nil
}

// wishedNetworks are networks by id. Instances on the same one share the slice.
type wishedNetworks map[string][]cloud.Network

// networksOf reads each network that one of the instances has a port on once.
func networksOf(s source, all []*known) (wishedNetworks, error) {
	nets := make(wishedNetworks)
	var ids []string
	for _, k := range all {
		for _, p := range k.instance.Ports {
			if _, there := nets[p.NetworkID]; !there {
				nets[p.NetworkID] = nil
				ids = append(ids, p.NetworkID)
			}
		}
	}
	for from := 0; from < len(ids); from += chunk {
		in, args := marks(ids[from:min(from+chunk, len(ids))])
		networks, err := collect(s, scanNetwork, `SELECT `+networkColumns+` FROM network WHERE id IN (`+in+`)`, args...)
		if err != nil {
			return nil, err
		}
		if err := addSubnets(s, networks); err != nil {
			return nil, err
		}
		for _, n := range networks {
			nets[n.ID] = []cloud.Network{n}
		}
	}
	return nets, nil
}

// of gives the networks of the ports, each once, in the order of the ports.
func (nets wishedNetworks) of(ports []cloud.Port) []cloud.Network {
	if len(ports) == 1 {
		return nets[ports[0].NetworkID]
	}
	var out []cloud.Network
	done := make(map[string]bool, len(ports))
	for _, p := range ports {
		if !done[p.NetworkID] {
			done[p.NetworkID] = true
			out = append(out, nets[p.NetworkID]...)
		}
	}
	return out
}
