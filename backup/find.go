package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"lodge/cloud"
)

// Find gives the manifest of a backup by its name, or for "latest" that of the
// newest one of a host. Hosts may share a place, and whoever takes another one's
// backup takes its id with it: so "latest" never falls back on another host, and
// where the id is not known, "", it is found only while all are of one. When it
// cannot be read, the error names the newest that can. Returns CodeNotFound, and
// CodeConflict for "latest" when nobody can say of which host.
func Find(ctx context.Context, p Place, name, hostID string) (Manifest, error) {
	if name != "latest" {
		if !IsID(name) {
			return Manifest{}, noBackup(name)
		}
		return p.Manifest(ctx, name)
	}
	all, err := p.List(ctx)
	if err != nil {
		return Manifest{}, err
	}
	ids, err := ofHost(all, hostID)
	if err != nil {
		return Manifest{}, err
	}
	m, err := p.Manifest(ctx, ids[0])
	if err == nil || ctx.Err() != nil {
		return m, err
	}
	for _, id := range ids[1:] {
		if _, e := p.Manifest(ctx, id); e == nil {
			return Manifest{}, fmt.Errorf("%w; the newest backup that can be read is %s: name it in place of latest", err, id)
		} else if !unreadable(e) {
			break // the place is to blame
		}
	}
	return Manifest{}, err
}

// ofHost are the backups that latest may mean, at least one, newest first. It is
// pure.
func ofHost(newestFirst []string, hostID string) (ids []string, err error) {
	var hosts, newest []string
	for _, id := range newestFirst {
		if host := hostIn(id); !slices.Contains(hosts, host) {
			hosts, newest = append(hosts, host), append(newest, id)
		}
		if hostID != "" && mine(id, hostID) {
			ids = append(ids, id)
		}
	}
	switch {
	case len(newest) == 0:
		return nil, cloud.Errorf(cloud.CodeNotFound, "There are no backups in this place.")
	case len(ids) > 0:
		return ids, nil
	case hostID != "":
		return nil, cloud.Errorf(cloud.CodeNotFound, "There is no backup of this host, %s, in this place; when another host's is meant, name it in place of latest. The newest of each host: %s.", hostID, strings.Join(newest, ", "))
	case len(newest) > 1:
		return nil, cloud.Errorf(cloud.CodeConflict, "There are backups of %d hosts in this place, and nothing in the data dir says which one this is; name one in place of latest. The newest of each host: %s.", len(newest), strings.Join(newest, ", "))
	}
	return newestFirst, nil
}
