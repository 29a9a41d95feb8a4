package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

// NetworkWishes returns the networks of the host with the ids, or all of them
// when ids is nil, each with the number of ports whose instance is not gone.
// Deleted ones are among them until they are recorded gone.
func (d *DB) NetworkWishes(ctx context.Context, hostID string, ids []string) ([]cloud.NetworkWish, error) {
	s := d.read(ctx)
	networks, err := networksWhere(s, hostID, ids)
	if err != nil {
		return nil, fail("read network wishes", err)
	}
	live, err := livePorts(s)
	if err != nil {
		return nil, fail("count live ports", err)
	}
	wishes := make([]cloud.NetworkWish, len(networks))
	for i, n := range networks {
		wishes[i] = cloud.NetworkWish{Network: n, LivePorts: live[n.ID]}
	}
	return wishes, nil
}

func networksWhere(s source, hostID string, ids []string) ([]cloud.Network, error) {
	var w where
	w.and("gone_at IS NULL")
	w.and("host_id = ?", hostID)
	if ids != nil {
		if len(ids) == 0 {
			return nil, nil
		}
		in, args := marks(ids)
		w.and("id IN ("+in+")", args...)
	}
	networks, err := collect(s, scanNetwork, `SELECT `+networkColumns+` FROM network`+w.String()+` ORDER BY created_at, id`, w.args...)
	if err != nil {
		return nil, err
	}
	return networks, addSubnets(s, networks)
}

// livePorts counts ports by network. A port loses its instance or its life when
// the instance is recorded gone, so no join is needed.
func livePorts(s source) (map[string]int, error) {
	type count struct {
		id string
		n  int
	}
	counts, err := collect(s, func(rows *sql.Rows) (c count, err error) {
		return c, rows.Scan(&c.id, &c.n)
	}, `
		SELECT
		  network_id,
		  COUNT(*)
		FROM port
		WHERE deleted_at IS NULL
		  AND instance_id IS NOT NULL
		GROUP BY network_id`)
	live := make(map[string]int, len(counts))
	for _, c := range counts {
		live[c.id] = c.n
	}
	return live, err
}

// RecordNetwork records what keeps a network from being as wanted, nil for
// nothing, or that nothing of it is left. A record that changes nothing writes
// nothing. Returns CodeNotFound when there is no such network.
func (d *DB) RecordNetwork(ctx context.Context, now time.Time, id string, problem *cloud.Problem, gone bool) error {
	if n, found, err := networkToRecord(d.read(ctx), id); err == nil && found && !gone && sameProblem(n.Problem, problem) {
		return nil
	}
	return d.write(ctx, now, reconciler, "record network", func(t *tx) error {
		n, found, err := networkToRecord(t, id)
		if err != nil {
			return err
		}
		if !found {
			return t.missingNetwork(id)
		}
		if gone {
			return t.networkGone(n)
		}
		if sameProblem(n.Problem, problem) {
			return nil
		}
		p := columnsOf(problem, n.Problem, t.now)
		_, err = t.exec(`
			UPDATE network
			SET problem_code = ?,
			    problem_message = ?,
			    problem_since = ?,
			    problem_retry_at = ?,
			    problem_attempts = ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`,
			p.code, p.message, p.since, p.retryAt, p.attempts, stamp(t.now), id)
		if err != nil {
			return err
		}
		return t.problemEvent(n.TenantID, cloud.Ref{Kind: cloud.KindNetwork, ID: id}, n.Name, n.Problem, problem)
	})
}

func networkToRecord(s source, id string) (cloud.Network, bool, error) {
	return one(s, scanNetwork, `
		SELECT `+networkColumns+`
		FROM network
		WHERE id = ?
		  AND gone_at IS NULL`, id)
}

// missingNetwork tells a tombstone, which a record leaves alone, from nothing.
func (t *tx) missingNetwork(id string) error {
	gone, err := exists(t, `SELECT 1 FROM network WHERE id = ?`, id)
	if err == nil && !gone {
		err = noNetwork(id)
	}
	return err
}

func (t *tx) networkGone(n cloud.Network) error {
	if n.DeletedAt.IsZero() {
		return cloud.Errorf(cloud.CodeConflict, "The network %s is wanted, so it cannot be recorded gone.", n.ID)
	}
	_, err := t.exec(`
		UPDATE network
		SET gone_at = ?,
		    problem_code = NULL,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`, stamp(t.now), stamp(t.now), n.ID)
	if err != nil {
		return err
	}
	return t.event(n.TenantID, cloud.Ref{Kind: cloud.KindNetwork, ID: n.ID}, n.Name, "network.gone",
		"The network "+n.Name+" is gone.", nil)
}
