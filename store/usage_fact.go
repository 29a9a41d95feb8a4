package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

const factQuery = `
		SELECT
		  seq,
		  tenant_id,
		  kind,
		  resource_id,
		  name,
		  flavor,
		  labels,
		  since
		FROM usage_fact`

func scanFact(rows *sql.Rows) (f cloud.UsageFact, err error) {
	var labels string
	var since sql.NullInt64
	err = rows.Scan(
		&f.Seq,
		&f.TenantID,
		&f.Kind,
		&f.ResourceID,
		&f.Name,
		&f.Flavor,
		&labels,
		&since,
	)
	if err != nil {
		return f, err
	}
	f.Since = moment(since)
	f.Labels, err = fromJSON[map[string]string](labels)
	return f, err
}

// fact writes down what a resource is called and how it is labelled from now on.
// When the clock was set back since the last fact, it holds from there.
func (t *tx) fact(f cloud.UsageFact) error {
	last, _, err := one(t, scanFact, factQuery+`
		WHERE resource_id = +?
		ORDER BY seq DESC
		LIMIT 1`, f.ResourceID)
	if err != nil {
		return err
	}
	return t.factFrom(f, last.Since)
}

// firstFact is fact for a resource that is made in this transaction.
func (t *tx) firstFact(f cloud.UsageFact) error { return t.factFrom(f, t.now) }

func (t *tx) factFrom(f cloud.UsageFact, earliest time.Time) (err error) {
	f.Since = t.now
	if earliest.After(f.Since) {
		f.Since = earliest
	}
	f.Seq, err = t.insert(`
		INSERT INTO usage_fact (
		  tenant_id,
		  kind,
		  resource_id,
		  name,
		  flavor,
		  labels,
		  since
		) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		f.TenantID,
		string(f.Kind),
		f.ResourceID,
		f.Name,
		f.Flavor,
		asJSON(f.Labels),
		stamp(f.Since),
	)
	if err != nil {
		return err
	}
	return t.seal(cloud.SealFact, f.Seq, f.Sealed())
}

// instanceFact is the fact of an instance as it is wanted.
func instanceFact(i cloud.Instance) cloud.UsageFact {
	return cloud.UsageFact{
		TenantID: i.TenantID, Kind: cloud.KindInstance, ResourceID: i.ID,
		Name: i.Name, Flavor: i.FlavorID, Labels: i.Labels,
	}
}

func imageFact(i cloud.Image) cloud.UsageFact {
	return cloud.UsageFact{TenantID: i.TenantID, Kind: cloud.KindImage, ResourceID: i.ID, Name: i.Name, Labels: i.Labels}
}

// UsageFacts returns what the resources were called and how they were labelled,
// by resource and in order: all that began before f.To, so also what held at
// f.From. Returns CodeNotFound as UsageIntervals does.
func (d *DB) UsageFacts(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) ([]cloud.UsageFact, error) {
	s := d.read(ctx)
	w, err := metered(s, c, f)
	if err != nil {
		return nil, fail("read usage", err)
	}
	if !f.To.IsZero() {
		w.and("since < ?", stamp(f.To))
	}
	facts, err := collect(s, scanFact, factQuery+w.String()+` ORDER BY resource_id, seq`, w.args...)
	return facts, fail("read usage", err)
}
