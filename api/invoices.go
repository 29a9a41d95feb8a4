package api

import (
	"encoding/hex"
	"net/http"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

const monthLayout = "2006-01"

func (s *server) createInvoice(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	var body wire.CreateInvoice
	if err := decode(w, r, &body); err != nil {
		return err
	}
	n := cloud.NewInvoice{ID: s.NewID(), InvoiceTerms: s.Terms}
	var err error
	if n.Month, err = monthOf("month", body.Month); err != nil {
		return err
	}
	if body.Tenant == "" {
		return invalid("tenant", "An invoice is of one tenant; name it.")
	}
	if n.TenantID, err = s.account(r, c, body.Tenant); err != nil {
		return err
	}
	i, err := s.Invoices.CreateInvoice(r.Context(), c, s.Now(), n, meter.Invoice)
	if err != nil {
		return err
	}
	location(w, "/v1/invoices/"+i.ID)
	return reply(w, http.StatusCreated, wireInvoice(i))
}

func monthOf(field, text string) (time.Time, error) {
	t, err := time.Parse(monthLayout, text)
	if err != nil || t.Year() < 1970 {
		return t, invalid(field, "A month is written as 2026-11, not %s.", quote(text))
	}
	return t, nil
}

// monthParameter reads a month; zero when it is not given.
func (q *query) monthParameter() (month time.Time) {
	if text := q.Get("month"); text != "" {
		var err error
		if month, err = monthOf("month", text); err != nil {
			q.fail(err)
		}
	}
	return month
}

func (s *server) listInvoices(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant", "month")
	f := cloud.InvoiceFilter{Month: q.monthParameter()}
	if q.err == nil {
		f.TenantID, q.err = s.account(r, c, q.Get("tenant"))
	}
	if q.err != nil {
		return q.err
	}
	items, err := s.Invoices.Invoices(r.Context(), c, f)
	if err != nil {
		return err
	}
	return replyList(w, items, "", wireInvoiceHead)
}

func (s *server) getInvoice(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant", "format")
	format := q.format(r, "json", "csv", "html")
	if q.err != nil {
		return q.err
	}
	id, err := pathID(r, cloud.KindInvoice)
	if err != nil {
		return err
	}
	i, err := s.Invoices.Invoice(r.Context(), c, id)
	if err != nil {
		return err
	}
	return replyInvoice(w, i, format)
}

// draftInvoice is of the present month where none is named.
func (s *server) draftInvoice(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant", "month", "format")
	format := q.format(r, "json", "csv", "html")
	n := cloud.NewInvoice{Month: q.monthParameter(), InvoiceTerms: s.Terms}
	if q.err != nil {
		return q.err
	}
	if n.Month.IsZero() {
		n.Month = cloud.Month(s.Now())
	}
	var err error
	if n.TenantID, err = s.account(r, c, q.Get("tenant")); err != nil {
		return err
	}
	if n.TenantID == "" && c.TenantID == "" {
		return invalid("tenant", "An invoice is of one tenant; name it.")
	}
	i, err := s.Invoices.DraftInvoice(r.Context(), c, s.Now(), n, meter.Invoice)
	if err != nil {
		return err
	}
	return replyInvoice(w, i, format)
}

func replyInvoice(w http.ResponseWriter, i cloud.Invoice, format string) error {
	out := wireInvoice(i)
	switch format {
	case "csv":
		return replyCSV(w, invoiceFile(out)+".csv", invoiceRows(out))
	case "html":
		return replyInvoicePage(w, out)
	}
	return reply(w, http.StatusOK, out)
}

// invoiceFile is a name for a file of the invoice: of letters, digits, - and _.
func invoiceFile(i wire.Invoice) string {
	if i.Draft {
		return "draft-" + i.Month
	}
	name := []byte("invoice-" + i.Number)
	for n, b := range name {
		if b == '/' || b == '.' {
			name[n] = '_'
		}
	}
	return string(name)
}

func wireInvoiceHead(i cloud.Invoice) wire.Invoice {
	out := wire.Invoice{
		ID: i.ID, Number: i.Number, Draft: i.Number == "", TenantID: i.TenantID, Tenant: i.Tenant, Month: i.Month.Format(monthLayout), Issuer: i.Issuer,
		Currency: i.Currency.Code, Minor: i.Currency.Minor, Subtotal: i.Subtotal, TaxPercent: i.TaxPercent, Tax: i.Tax, Rounding: i.Rounding, Total: i.Total,
		Head: wire.ChainLink{Number: i.Head.N, SHA256: hex.EncodeToString(i.Head.Hash[:])}, CreatedAt: wireTime(i.Created),
	}
	if i.Unpriced {
		out.Note = noPrice
	}
	return out
}

func wireInvoice(i cloud.Invoice) wire.Invoice {
	out := wireInvoiceHead(i)
	out.Lines = make([]wire.InvoiceLine, 0, len(i.Lines))
	for _, l := range i.Lines {
		line := wire.InvoiceLine{
			Month: l.Month.Format(monthLayout), Correction: l.Correction, Kind: string(l.Kind), ResourceID: l.ResourceID, Resource: l.Resource,
			Slot: l.Slot, Meter: string(l.Meter), Unit: l.Meter.Unit(), PriceID: l.PriceID, DiscountID: l.DiscountID,
			Quantity: l.Quantity, UnitPrice: l.UnitPrice, Cost: l.Cost,
		}
		if l.DiscountID != "" {
			line.DiscountPercent = l.Percent
		}
		out.Lines = append(out.Lines, line)
	}
	return out
}

// invoiceRows are the lines, the tax and the rounding: their costs add up to the
// total.
func invoiceRows(i wire.Invoice) [][]string {
	rows := [][]string{{"invoice", "tenant", "month", "correction", "kind", "resource_id", "resource", "slot", "meter", "unit", "price_id", "discount_id",
		"quantity", "unit_price", "discount_percent", "cost", "currency"}}
	for _, l := range i.Lines {
		correction := ""
		if l.Correction {
			correction = "yes"
		}
		rows = append(rows, []string{i.Number, i.Tenant, l.Month, correction, l.Kind, l.ResourceID, l.Resource, l.Slot, l.Meter, l.Unit, l.PriceID, l.DiscountID,
			l.Quantity, l.UnitPrice, l.DiscountPercent, l.Cost, i.Currency})
	}
	for _, extra := range [][2]string{{"tax", i.Tax}, {"rounding", i.Rounding}} {
		if extra[1] != "0" {
			rows = append(rows, []string{i.Number, i.Tenant, i.Month, "", extra[0], "", "", "", "", "", "", "", "", "", "", extra[1], i.Currency})
		}
	}
	return rows
}
