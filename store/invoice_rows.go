package store

import (
	"database/sql"

	"lodge/cloud"
)

const invoiceQuery = `
		SELECT
		  seq,
		  id,
		  number,
		  tenant_id,
		  tenant,
		  month,
		  issuer,
		  currency,
		  minor,
		  subtotal,
		  tax_percent,
		  tax,
		  rounding,
		  total,
		  unpriced,
		  hours_seq,
		  head_n,
		  head_hash,
		  created_at,
		  next_interval
		FROM invoice`

func scanInvoice(rows *sql.Rows) (i cloud.Invoice, err error) {
	var month, created, next sql.NullInt64
	var hash []byte
	err = rows.Scan(
		&i.Seq,
		&i.ID,
		&i.Number,
		&i.TenantID,
		&i.Tenant,
		&month,
		&i.Issuer,
		&i.Currency.Code,
		&i.Currency.Minor,
		&i.Subtotal,
		&i.TaxPercent,
		&i.Tax,
		&i.Rounding,
		&i.Total,
		&i.Unpriced,
		&i.HoursSeq,
		&i.Head.N,
		&hash,
		&created,
		&next,
	)
	i.Month, i.Created, i.NextInterval = moment(month), moment(created), next.Int64
	if err == nil {
		err = whole(i.Head.Hash[:], hash)
	}
	return i, err
}

const invoiceLineQuery = `
		SELECT
		  month,
		  correction,
		  kind,
		  resource_id,
		  resource,
		  slot,
		  meter,
		  price_id,
		  COALESCE(discount_id, ''),
		  quantity,
		  unit_price,
		  percent,
		  cost
		FROM invoice_line`

func scanInvoiceLine(rows *sql.Rows) (l cloud.InvoiceLine, err error) {
	var month sql.NullInt64
	err = rows.Scan(
		&month,
		&l.Correction,
		&l.Kind,
		&l.ResourceID,
		&l.Resource,
		&l.Slot,
		&l.Meter,
		&l.PriceID,
		&l.DiscountID,
		&l.Quantity,
		&l.UnitPrice,
		&l.Percent,
		&l.Cost,
	)
	l.Month = moment(month)
	return l, err
}

func invoiceLines(s source, seq int64) ([]cloud.InvoiceLine, error) {
	return collect(s, scanInvoiceLine, invoiceLineQuery+`
		WHERE invoice = ?
		ORDER BY n`, seq)
}

// sealedInvoice is an invoice with its lines as the chain covers it, nil when
// there is none.
func sealedInvoice(s source, ref int64) ([]byte, error) {
	i, found, err := one(s, scanInvoice, invoiceQuery+` WHERE seq = ?`, ref)
	if err != nil || !found {
		return nil, err
	}
	if i.Lines, err = invoiceLines(s, ref); err != nil {
		return nil, err
	}
	return i.Sealed(), nil
}

func (t *tx) insertInvoice(i cloud.Invoice) error {
	_, err := t.exec(`
		INSERT INTO invoice (
		  seq,
		  id,
		  number,
		  tenant_id,
		  tenant,
		  month,
		  issuer,
		  currency,
		  minor,
		  subtotal,
		  tax_percent,
		  tax,
		  rounding,
		  total,
		  unpriced,
		  lines,
		  hours_seq,
		  head_n,
		  head_hash,
		  created_at,
		  next_interval
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.Seq,
		i.ID,
		i.Number,
		i.TenantID,
		i.Tenant,
		stamp(i.Month),
		i.Issuer,
		i.Currency.Code,
		i.Currency.Minor,
		i.Subtotal,
		i.TaxPercent,
		i.Tax,
		i.Rounding,
		i.Total,
		i.Unpriced,
		len(i.Lines),
		i.HoursSeq,
		i.Head.N,
		i.Head.Hash[:],
		stamp(i.Created),
		i.NextInterval,
	)
	if err != nil {
		return err
	}
	for n, l := range i.Lines {
		if err := t.insertInvoiceLine(i, n+1, l); err != nil {
			return err
		}
	}
	return t.seal(cloud.SealInvoice, i.Seq, i.Sealed())
}

func (t *tx) insertInvoiceLine(i cloud.Invoice, n int, l cloud.InvoiceLine) error {
	_, err := t.exec(`
		INSERT INTO invoice_line (
		  invoice,
		  n,
		  tenant_id,
		  month,
		  correction,
		  kind,
		  resource_id,
		  resource,
		  slot,
		  meter,
		  price_id,
		  discount_id,
		  quantity,
		  unit_price,
		  percent,
		  cost
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.Seq,
		n,
		i.TenantID,
		stamp(l.Month),
		l.Correction,
		string(l.Kind),
		l.ResourceID,
		l.Resource,
		l.Slot,
		string(l.Meter),
		l.PriceID,
		orNull(l.DiscountID),
		l.Quantity,
		l.UnitPrice,
		l.Percent,
		l.Cost,
	)
	return err
}
