package store

import (
	"context"
	"database/sql"
	"os"
	"time"

	"lodge/cloud"
)

// Census counts what there is of all tenants, in one read. It goes through every
// instance that is not gone, so it is for a look now and then.
func (d *DB) Census(ctx context.Context) (cloud.Census, error) {
	c := cloud.Census{
		Instances:  map[cloud.State]int64{},
		Images:     map[cloud.ImageState]int64{},
		Problems:   map[cloud.Kind]map[cloud.Code]int64{},
		Heartbeats: map[string]time.Time{},
		Orphans:    map[cloud.OrphanKind]int64{},
	}
	if err := ctx.Err(); err != nil {
		return c, fail("census", err)
	}
	s := d.read(ctx)
	if err := s.row(`
		SELECT COUNT(*)
		FROM tenant
		WHERE deleted_at IS NULL`).Scan(&c.Tenants); err != nil {
		return c, fail("census of tenants", err)
	}
	for kind, state := range map[cloud.Kind]string{cloud.KindInstance: "state", cloud.KindImage: "state", cloud.KindNetwork: "''"} {
		groups, err := collect(s, scanGroup, `
			SELECT
			  `+state+`,
			  COALESCE(problem_code, ''),
			  COUNT(*)
			FROM `+string(kind)+`
			WHERE gone_at IS NULL
			GROUP BY 1, 2`)
		if err != nil {
			return c, fail("census of states", err)
		}
		for _, g := range groups {
			count(&c, kind, g)
		}
	}
	strays, err := collect(s, scanGroup, `SELECT kind, '', COUNT(*) FROM orphan GROUP BY 1`)
	if err != nil {
		return c, fail("census of orphans", err)
	}
	for _, g := range strays {
		c.Orphans[cloud.OrphanKind(g.state)] = g.count
	}
	all, err := hosts(s)
	if err != nil {
		return c, fail("census of hosts", err)
	}
	for _, h := range all {
		c.Heartbeats[h.Name] = h.HeartbeatAt
		if h.Problem != nil {
			count(&c, cloud.KindHost, group{problem: string(h.Problem.Code), count: 1})
		}
	}
	return c, nil
}

// group is so many objects in one state with one problem, or none.
type group struct {
	state, problem string
	count          int64
}

func scanGroup(rows *sql.Rows) (g group, err error) {
	err = rows.Scan(&g.state, &g.problem, &g.count)
	return g, err
}

func count(c *cloud.Census, kind cloud.Kind, g group) {
	switch kind {
	case cloud.KindInstance:
		c.Instances[cloud.State(g.state)] += g.count
	case cloud.KindImage:
		c.Images[cloud.ImageState(g.state)] += g.count
	}
	if g.problem == "" {
		return
	}
	if c.Problems[kind] == nil {
		c.Problems[kind] = map[cloud.Code]int64{}
	}
	c.Problems[kind][cloud.Code(g.problem)] += g.count
}

// Stats says how big the files are and how long changes waited for each other.
func (d *DB) Stats() (cloud.StoreStats, error) {
	w := d.writer.Stats()
	s := cloud.StoreStats{Waits: w.WaitCount, Waited: w.WaitDuration}
	for tail, size := range map[string]*int64{"": &s.DatabaseBytes, "-wal": &s.WALBytes} {
		info, err := os.Stat(d.path + tail)
		if err != nil {
			return s, fail("size of the database", err)
		}
		*size = info.Size()
	}
	return s, nil
}
