package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"lodge/cloud"
)

// keptPrice is a price with the number of its row.
type keptPrice struct {
	seq int64
	cloud.Price
}

const (
	priceQuery = priceColumns + `FROM price_now`
	// pricesMade are the prices as they were when they were made, without the ends
	// that they were given later.
	pricesMade = `SELECT * FROM (` + priceColumns + `FROM (SELECT *, valid_to AS until FROM price))`
)

const priceColumns = `
		SELECT
		  seq,
		  id,
		  tenant_id,
		  meter,
		  flavor_id,
		  selector,
		  unit_price,
		  currency,
		  valid_from,
		  until,
		  minimum_seconds,
		  cap_hours,
		  states,
		  created_at
		`

func scanPrice(rows *sql.Rows) (p keptPrice, err error) {
	var from, to, created sql.NullInt64
	var tenant sql.NullString
	var states string
	err = rows.Scan(
		&p.seq,
		&p.ID,
		&tenant,
		&p.Meter,
		&p.FlavorID,
		&p.Selector,
		&p.UnitPrice,
		&p.Currency,
		&from,
		&to,
		&p.MinimumSeconds,
		&p.CapHours,
		&states,
		&created,
	)
	p.TenantID, p.From, p.To, p.Created = tenant.String, moment(from), moment(to), moment(created)
	if err == nil {
		err = json.Unmarshal([]byte(states), &p.States)
	}
	return p, err
}

// seen narrows rows of the book to what the caller may know: what is of every
// tenant, and its own. A tenant that is named narrows an operator alike.
func (w *where) seen(c cloud.Caller, f cloud.PriceFilter) error {
	tenantID, err := scope(c, f.TenantID)
	if err != nil {
		return err
	}
	if tenantID != "" {
		w.and("(tenant_id IS NULL OR tenant_id = ?)", tenantID)
	}
	if f.Meter != "" {
		w.and("(meter = ? OR meter = '')", string(f.Meter))
	}
	if !f.At.IsZero() {
		w.and("valid_from <= ? AND (until IS NULL OR until > ?)", stamp(f.At), stamp(f.At))
	}
	return nil
}

// Prices lists the prices that the caller may know: the general ones and those of
// its tenant, by meter, the oldest first. Returns CodeNotFound for a tenant that
// the caller may not see.
func (d *DB) Prices(ctx context.Context, c cloud.Caller, f cloud.PriceFilter) ([]cloud.Price, error) {
	var w where
	if err := w.seen(c, f); err != nil {
		return nil, err
	}
	kept, err := collect(d.read(ctx), scanPrice, priceQuery+w.String()+` ORDER BY meter, seq`, w.args...)
	out := make([]cloud.Price, 0, len(kept))
	for _, p := range kept {
		out = append(out, p.Price)
	}
	return out, fail("list prices", err)
}

// PricePage gives a part of Prices, and the cursor of the next one. Returns also
// CodeInvalid for a cursor that this list did not give.
func (d *DB) PricePage(ctx context.Context, c cloud.Caller, f cloud.PriceFilter, p cloud.Page) (items []cloud.Price, next string, err error) {
	page, w, err := bookPage(c, "prices", f, p)
	if err != nil {
		return nil, "", err
	}
	kept, err := collect(d.read(ctx), scanPrice, priceQuery+page.by(&w, "meter", "seq"), w.args...)
	if err != nil {
		return nil, "", fail("list prices", err)
	}
	kept, next = cut(page, kept, func(p *keptPrice) place { return place{name: string(p.Meter), id: strconv.FormatInt(p.seq, 10)} })
	for _, p := range kept {
		items = append(items, p.Price)
	}
	return items, next, nil
}

// bookPage is a page of what the book has, and who may see what of it.
func bookPage(c cloud.Caller, list string, f cloud.PriceFilter, p cloud.Page) (page span, w where, err error) {
	p.Sort = cloud.SortName // its first column is text
	if page, err = spanOf(p, list, f.TenantID, string(f.Meter), fmt.Sprint(f.At.UnixMilli())); err == nil {
		err = w.seen(c, f)
	}
	return page, w, err
}

// Price returns one price. Returns CodeNotFound when there is none, or it is
// another tenant's.
func (d *DB) Price(ctx context.Context, c cloud.Caller, id string) (cloud.Price, error) {
	p, err := price(d.read(ctx), c, id)
	return p.Price, fail("read price", err)
}

func price(s source, c cloud.Caller, id string) (keptPrice, error) {
	p, found, err := one(s, scanPrice, priceQuery+` WHERE id = ?`, id)
	if err == nil && (!found || (p.TenantID != "" && !c.Sees(p.TenantID))) {
		return keptPrice{}, cloud.Errorf(cloud.CodeNotFound, "There is no price %q; list the prices to see them.", id)
	}
	return p, err
}

// Currency is what prices are in; its code is empty before the first price.
func (d *DB) Currency(ctx context.Context) (cloud.Currency, error) {
	code, err := currency(d.read(ctx))
	return cloud.CurrencyOf(code), fail("read currency", err)
}

func currency(s source) (code string, err error) {
	err = s.row(`SELECT COALESCE((SELECT currency FROM price_currency), (SELECT currency FROM price ORDER BY seq LIMIT 1), '')`).Scan(&code)
	return code, err
}

// CreatePrice puts a price into the book. The first one says the currency of the
// book. With replace, the price of the same that is valid where the new one
// begins ends there.
//
// Returns CodeForbidden for anybody but an operator; CodeInvalid; CodeNotFound
// for the tenant; CodeConflict for another currency while something is in the one
// of the book, and where there is a price
// of the same at that time.
func (d *DB) CreatePrice(ctx context.Context, c cloud.Caller, now time.Time, p cloud.Price, replace bool) (cloud.Price, error) {
	if err := onlyOperator(c, "sets prices"); err != nil {
		return cloud.Price{}, err
	}
	err := d.write(ctx, now, c, "price.create", func(t *tx) (err error) {
		if p, err = p.Checked(t.now); err != nil {
			return err
		}
		p.Created = t.now
		if p.TenantID != "" {
			if _, err := liveTenant(t, p.TenantID); err != nil {
				return err
			}
		}
		if p.Currency, err = t.bookCurrency(p.Currency); err != nil {
			return err
		}
		if err := t.makeRoom(p, replace); err != nil {
			return err
		}
		if err := t.insertPrice(p); err != nil {
			return err
		}
		t.answer = p
		return t.event(p.TenantID, cloud.Ref{Kind: cloud.KindPrice, ID: p.ID}, string(p.Meter), "price.created",
			fmt.Sprintf("A price was set from %s on: %s.", p.From.Format(time.RFC3339), p.Describe()), nil)
	})
	return p, err
}

// bookCurrency is the currency of the book, which is asked for or named by its
// first price. While nothing in the book counts and no amount is in it, it can
// still be another.
func (t *tx) bookCurrency(asked string) (string, error) {
	is, err := currency(t)
	if err != nil || (is != "" && (asked == is || asked == "")) {
		return is, err
	}
	if asked == "" {
		return "", invalid("currency", "The first price says the currency of the book, such as \"EUR\".")
	}
	used, err := exists(t, `SELECT 1 FROM price_now WHERE until IS NULL OR until > valid_from`)
	if err != nil {
		return "", err
	}
	if used {
		return "", cloud.Errorf(cloud.CodeConflict, "The prices are in %s, so there can be none in %s: one book has one currency.", is, asked)
	}
	if is != "" {
		if err := t.refuseOtherCurrency(is, asked); err != nil {
			return "", err
		}
	}
	_, err = t.exec(`
		INSERT INTO price_currency (one, currency) VALUES (1, ?)
		ON CONFLICT (one) DO UPDATE SET currency = excluded.currency`, asked)
	return asked, err
}

// refuseOtherCurrency returns CodeConflict when there are amounts in the currency
// that the book had: they would be taken for amounts in another.
func (t *tx) refuseOtherCurrency(is, asked string) error {
	invoiced, err := exists(t, `SELECT 1 FROM invoice WHERE currency = ?`, is)
	if err != nil {
		return err
	}
	if invoiced {
		return cloud.Errorf(cloud.CodeConflict, "There are invoices in %s, and what is found out of their months is corrected in it, so there can be no price in %s; set prices in %s.", is, asked, is)
	}
	budgets, err := exists(t, `SELECT 1 FROM budget`)
	if err == nil && budgets {
		err = cloud.Errorf(cloud.CodeConflict, "There are budgets with amounts in %s, so there can be no price in %s; delete the budgets first, or set prices in %s.", is, asked, is)
	}
	return err
}

// makeRoom refuses a price where there is one of the same, or ends that.
func (t *tx) makeRoom(p cloud.Price, replace bool) error {
	there, err := collect(t, scanPrice, priceQuery+`
		WHERE meter = ?
		  AND flavor_id = ?
		  AND tenant_id IS ?
		  AND (until IS NULL OR (until > valid_from AND until > ?))
		  AND (? IS NULL OR valid_from < ?)
		ORDER BY valid_from`,
		string(p.Meter), p.FlavorID, orNull(p.TenantID), stamp(p.From), stamp(p.To), stamp(p.To))
	for _, old := range there {
		if !old.SameAs(p) { // of other labels
			continue
		}
		if replace && !old.From.After(p.From) && cloud.CheckEnd(old.From, old.To, p.From, t.saying(old.Created)) == nil {
			if err := t.endPrice(old, p.From); err != nil {
				return err
			}
			continue
		}
		return cloud.Errorf(cloud.CodeConflict, "There is a price of the same from %s on, %s; let the new one begin at the next whole hour and replace it, or end that one first.",
			old.From.Format(time.RFC3339), old.ID)
	}
	return err
}

func (t *tx) insertPrice(p cloud.Price) error {
	states, err := json.Marshal(p.States)
	if err != nil {
		return err
	}
	var seq int64
	err = t.row(`
		INSERT INTO price (
		  id,
		  tenant_id,
		  meter,
		  flavor_id,
		  selector,
		  unit_price,
		  currency,
		  valid_from,
		  valid_to,
		  minimum_seconds,
		  cap_hours,
		  states,
		  created_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		RETURNING seq`,
		p.ID,
		orNull(p.TenantID),
		string(p.Meter),
		p.FlavorID,
		p.Selector,
		p.UnitPrice,
		p.Currency,
		stamp(p.From),
		stamp(p.To),
		p.MinimumSeconds,
		p.CapHours,
		string(states),
		stamp(p.Created),
	).Scan(&seq)
	if err != nil {
		return err
	}
	return t.seal(cloud.SealPrice, seq, p.Sealed())
}

// EndPrice lets a price end at a whole hour that is not past. Returns
// CodeForbidden for anybody but an operator, CodeNotFound, CodePrecondition,
// CodeInvalid for an end that it cannot have, CodeConflict when it was given one
// already.
func (d *DB) EndPrice(ctx context.Context, c cloud.Caller, now time.Time, id string, at time.Time) (cloud.Price, error) {
	if err := onlyOperator(c, "ends prices"); err != nil {
		return cloud.Price{}, err
	}
	var p keptPrice
	err := d.write(ctx, now, c, "price.end", func(t *tx) (err error) {
		if p, err = price(t, c, id); err != nil {
			return err
		}
		if err := c.Expects(p.Tag()); err != nil {
			return err
		}
		if err := cloud.CheckEnd(p.From, p.To, at, t.saying(p.Created)); err != nil {
			return err
		}
		if err := t.endPrice(p, at); err != nil {
			return err
		}
		p.To = at.UTC()
		t.answer = p.Price
		return nil
	})
	return p.Price, err
}

func (t *tx) endPrice(p keptPrice, at time.Time) error {
	said := t.saying(p.Created)
	if err := t.end("price", p.seq, at, said); err != nil {
		return err
	}
	if err := t.seal(cloud.SealPriceEnd, p.seq, cloud.BookEnd{ID: p.ID, At: at, Said: said}.Sealed()); err != nil {
		return err
	}
	return t.event(p.TenantID, cloud.Ref{Kind: cloud.KindPrice, ID: p.ID}, string(p.Meter), "price.ended",
		fmt.Sprintf("A price ends at %s: %s.", at.UTC().Format(time.RFC3339), p.Describe()), nil)
}

// saying is when an end is said of a row of the book: now, but not before it was
// made. A request that waited for its turn knows an earlier now than the row that
// was made meanwhile.
func (t *tx) saying(created time.Time) time.Time {
	if created.After(t.now) {
		return created
	}
	return t.now
}

// end puts an end to a row of the book, which can be given one once.
func (t *tx) end(table string, seq int64, at, said time.Time) error {
	given, err := exists(t, `SELECT 1 FROM `+table+`_end WHERE seq = ?`, seq)
	if err != nil {
		return err
	}
	if given {
		return cloud.Errorf(cloud.CodeConflict, "This %s was given its end already; what was said of the book stays.", table)
	}
	_, err = t.exec(`INSERT INTO `+table+`_end (seq, ended_at, said_at) VALUES (?, ?, ?)`, seq, stamp(at), stamp(said))
	return err
}
