package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"lodge/cloud"
)

type keptDiscount struct {
	seq int64
	cloud.Discount
}

const (
	discountQuery = discountColumns + `FROM discount_now`
	discountsMade = `SELECT * FROM (` + discountColumns + `FROM (SELECT *, valid_to AS until FROM discount))` // as pricesMade
)

const discountColumns = `
		SELECT
		  seq,
		  id,
		  tenant_id,
		  meter,
		  percent,
		  valid_from,
		  until,
		  created_at
		`

func scanDiscount(rows *sql.Rows) (d keptDiscount, err error) {
	var from, to, created sql.NullInt64
	err = rows.Scan(
		&d.seq,
		&d.ID,
		&d.TenantID,
		&d.Meter,
		&d.Percent,
		&from,
		&to,
		&created,
	)
	d.From, d.To, d.Created = moment(from), moment(to), moment(created)
	return d, err
}

// Discounts lists the discounts of the tenants that the caller may see. Returns
// CodeNotFound for a tenant that it may not.
func (d *DB) Discounts(ctx context.Context, c cloud.Caller, f cloud.PriceFilter) ([]cloud.Discount, error) {
	var w where
	if err := w.seen(c, f); err != nil {
		return nil, err
	}
	kept, err := collect(d.read(ctx), scanDiscount, discountQuery+w.String()+` ORDER BY tenant_id, seq`, w.args...)
	out := make([]cloud.Discount, 0, len(kept))
	for _, one := range kept {
		out = append(out, one.Discount)
	}
	return out, fail("list discounts", err)
}

// DiscountPage is PricePage for discounts.
func (d *DB) DiscountPage(ctx context.Context, c cloud.Caller, f cloud.PriceFilter, p cloud.Page) (items []cloud.Discount, next string, err error) {
	page, w, err := bookPage(c, "discounts", f, p)
	if err != nil {
		return nil, "", err
	}
	kept, err := collect(d.read(ctx), scanDiscount, discountQuery+page.by(&w, "tenant_id", "seq"), w.args...)
	if err != nil {
		return nil, "", fail("list discounts", err)
	}
	kept, next = cut(page, kept, func(n *keptDiscount) place { return place{name: n.TenantID, id: strconv.FormatInt(n.seq, 10)} })
	for _, n := range kept {
		items = append(items, n.Discount)
	}
	return items, next, nil
}

// Discount returns one discount. Returns CodeNotFound when there is none, or it
// is another tenant's.
func (d *DB) Discount(ctx context.Context, c cloud.Caller, id string) (cloud.Discount, error) {
	one, err := discount(d.read(ctx), c, id)
	return one.Discount, fail("read discount", err)
}

func discount(s source, c cloud.Caller, id string) (keptDiscount, error) {
	d, found, err := one(s, scanDiscount, discountQuery+` WHERE id = ?`, id)
	if err == nil && (!found || !c.Sees(d.TenantID)) {
		return keptDiscount{}, cloud.Errorf(cloud.CodeNotFound, "There is no discount %q; list the discounts to see them.", id)
	}
	return d, err
}

// CreateDiscount gives a tenant a discount. Returns CodeForbidden for anybody but
// an operator, CodeInvalid, CodeNotFound for the tenant, CodeConflict where it
// has a discount on the same at that time.
func (d *DB) CreateDiscount(ctx context.Context, c cloud.Caller, now time.Time, n cloud.Discount) (cloud.Discount, error) {
	if err := onlyOperator(c, "gives discounts"); err != nil {
		return cloud.Discount{}, err
	}
	err := d.write(ctx, now, c, "discount.create", func(t *tx) (err error) {
		if n, err = n.Checked(t.now); err != nil {
			return err
		}
		n.Created = t.now
		if _, err := liveTenant(t, n.TenantID); err != nil {
			return err
		}
		there, found, err := one(t, scanDiscount, discountQuery+`
			WHERE tenant_id = ?
			  AND meter = ?
			  AND (until IS NULL OR (until > valid_from AND until > ?))
			  AND (? IS NULL OR valid_from < ?)`, n.TenantID, string(n.Meter), stamp(n.From), stamp(n.To), stamp(n.To))
		if err != nil {
			return err
		}
		if found {
			return cloud.Errorf(cloud.CodeConflict, "The tenant has a discount of %s percent on the same from %s on, %s; end that one first.", there.Percent, there.From.Format(time.RFC3339), there.ID)
		}
		if err := t.insertDiscount(n); err != nil {
			return err
		}
		t.answer = n
		return t.event(n.TenantID, cloud.Ref{Kind: cloud.KindDiscount, ID: n.ID}, discountName(n), "discount.created",
			fmt.Sprintf("A discount of %s percent on %s was given from %s on.", n.Percent, discountName(n), n.From.Format(time.RFC3339)), nil)
	})
	return n, err
}

func discountName(d cloud.Discount) string {
	if d.Meter == "" {
		return "everything"
	}
	return string(d.Meter)
}

func (t *tx) insertDiscount(n cloud.Discount) error {
	var seq int64
	err := t.row(`
		INSERT INTO discount (
		  id,
		  tenant_id,
		  meter,
		  percent,
		  valid_from,
		  valid_to,
		  created_at
		) VALUES (?, ?, ?, ?, ?, ?, ?)
		RETURNING seq`,
		n.ID,
		n.TenantID,
		string(n.Meter),
		n.Percent,
		stamp(n.From),
		stamp(n.To),
		stamp(n.Created),
	).Scan(&seq)
	if err != nil {
		return err
	}
	return t.seal(cloud.SealDiscount, seq, n.Sealed())
}

// EndDiscount is EndPrice for a discount.
func (d *DB) EndDiscount(ctx context.Context, c cloud.Caller, now time.Time, id string, at time.Time) (cloud.Discount, error) {
	if err := onlyOperator(c, "ends discounts"); err != nil {
		return cloud.Discount{}, err
	}
	var n keptDiscount
	err := d.write(ctx, now, c, "discount.end", func(t *tx) (err error) {
		if n, err = discount(t, c, id); err != nil {
			return err
		}
		if err := c.Expects(n.Tag()); err != nil {
			return err
		}
		said := t.saying(n.Created)
		if err := cloud.CheckEnd(n.From, n.To, at, said); err != nil {
			return err
		}
		if err := t.end("discount", n.seq, at, said); err != nil {
			return err
		}
		if err := t.seal(cloud.SealDiscountEnd, n.seq, cloud.BookEnd{ID: n.ID, At: at, Said: said}.Sealed()); err != nil {
			return err
		}
		n.To = at.UTC()
		t.answer = n.Discount
		return t.event(n.TenantID, cloud.Ref{Kind: cloud.KindDiscount, ID: n.ID}, discountName(n.Discount), "discount.ended",
			fmt.Sprintf("A discount of %s percent on %s ends at %s.", n.Percent, discountName(n.Discount), at.UTC().Format(time.RFC3339)), nil)
	})
	return n.Discount, err
}
