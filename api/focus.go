package api

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"net/http"
	"strings"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// headers that say which FOCUS it is, and until when there is anything.
const (
	headerFocus  = "Focus-Version"
	headerClosed = "Usage-Closed-Until"
)

// focusPeriod reads the period of an export. It ends where hours are not closed
// yet: what is exported once is only ever corrected.
func (q *query) focusPeriod(now time.Time) (from, to time.Time) {
	if month := q.monthParameter(); !month.IsZero() {
		if q.Get("from")+q.Get("to") != "" {
			q.fail(invalid("month", "The parameter month goes without from and to."))
		}
		return month, month.AddDate(0, 1, 0)
	}
	from = q.instant("from", cloud.Month(now))
	to = q.instant("to", cloud.Hour(now))
	for _, at := range []struct {
		name string
		t    time.Time
	}{{"from", from}, {"to", to}} {
		if !at.t.Equal(cloud.Hour(at.t)) {
			q.fail(invalid(at.name, "An export is of whole hours of UTC, and %s is within one.", at.t.Format(time.RFC3339Nano)))
		}
	}
	if !to.After(from) && q.Get("from")+q.Get("to") != "" {
		q.fail(invalid("to", "The period ends at %s, which is not after its beginning %s; its end is not part of it.", to.Format(time.RFC3339), from.Format(time.RFC3339)))
	}
	return from, to
}

// exportFocus writes closed hours row by row. Of the ledger a month of one tenant
// is in memory at a time.
func (s *server) exportFocus(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant", "month", "from", "to", "version")
	q.oneOf("version", meter.FocusVersions()...)
	version := cmp.Or(q.Get("version"), meter.FocusDefault)
	from, to := q.focusPeriod(s.Now())
	if q.err != nil {
		return q.err
	}
	tenantID, err := s.account(r, c, q.Get("tenant"))
	if err != nil {
		return err
	}
	currency, err := s.Prices.Currency(r.Context())
	if err != nil {
		return err
	}
	if currency.Code == "" {
		return cloud.Errorf(cloud.CodeConflict, "There is no price yet, and so no currency that costs could be in; an operator sets one first.")
	}
	accounts, err := s.Billing.BillingAccounts(r.Context(), c, tenantID)
	if err != nil {
		return err
	}
	closed, err := s.Billing.ClosedUntil(r.Context())
	if err != nil {
		return err
	}
	leave, err := s.exports.enter(c)
	if err != nil {
		return err
	}
	defer leave()
	e := focusExport{server: s, r: r, c: c, version: version, currency: currency, from: from, to: to}
	if to.After(closed) {
		e.to = closed
	}
	h := w.Header()
	h[headerFocus] = []string{version}
	if !closed.IsZero() {
		h[headerClosed] = []string{closed.Format(time.RFC3339)}
	}
	attachment(w, "focus-"+version+"-"+from.Format("20060102")+"-"+to.Format("20060102")+".csv")
	h["Content-Type"] = typeCSV
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 32<<10)
	e.csv = csv.NewWriter(out)
	if err := e.write(accounts); err != nil {
		// The answer has begun: only a connection that is cut says that it is not whole.
		s.log.Warn("an export was cut off", "request_id", requestID(w), "err", err)
		panic(http.ErrAbortHandler)
	}
	e.csv.Flush()
	if err := e.csv.Error(); err == nil {
		_ = out.Flush() // the client may have left
	}
	return nil
}

type focusExport struct {
	*server
	r        *http.Request
	c        cloud.Caller
	csv      *csv.Writer
	version  string
	currency cloud.Currency
	from, to time.Time
}

func (e *focusExport) write(accounts []cloud.BillingAccount) error {
	if err := e.csv.Write(meter.FocusColumns(e.version)); err != nil {
		return err
	}
	for _, a := range accounts {
		for month := cloud.Month(e.from); month.Before(e.to); month = month.AddDate(0, 1, 0) {
			if err := e.month(a, month); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *focusExport) month(a cloud.BillingAccount, month time.Time) error {
	end := month.AddDate(0, 1, 0)
	in := meter.FocusInput{Version: e.version, Account: a, Issuer: e.issuer(), Currency: e.currency, Month: month, From: month, To: end}
	if e.from.After(in.From) {
		in.From = e.from
	}
	if e.to.Before(in.To) {
		in.To = e.to
	}
	var err error
	if in.Ledger, _, err = e.ledger(e.r.Context(), e.c, cloud.UsageFilter{TenantID: a.ID, From: month, To: end}); err != nil {
		return err
	}
	made, err := e.Invoices.Invoices(e.r.Context(), e.c, cloud.InvoiceFilter{TenantID: a.ID, Month: month})
	if err != nil {
		return err
	}
	if len(made) > 0 {
		i, err := e.Invoices.Invoice(e.r.Context(), e.c, made[0].ID)
		if err != nil {
			return err
		}
		in.Invoice = &i
	}
	// A rate of requests is no bound on one that is read slowly; the client's leaving is.
	for row := range meter.FocusMonth(in) {
		if err := e.csv.Write(row); err != nil {
			return err
		}
		if e.r.Context().Err() != nil {
			return e.r.Context().Err()
		}
	}
	return nil
}

// issuer is who bills: the first line of what invoices say.
func (s *server) issuer() string {
	name, _, _ := strings.Cut(s.Terms.Issuer, "\n")
	if name = strings.TrimSpace(name); name == "" {
		return "lodge"
	}
	return name
}

// usageSink says how the receiver of usage is doing.
func (s *server) usageSink(w http.ResponseWriter, r *http.Request, _ cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	if s.UsageSink == nil {
		return reply(w, http.StatusOK, wire.UsageSink{})
	}
	state, err := s.UsageSink(r.Context())
	if err != nil {
		return err
	}
	out := wire.UsageSink{
		Configured: true, URL: state.URL, Sent: state.Sent, SentAt: wireTime(state.SentAt), Pending: state.Pending,
		OldestHour: wireTime(state.OldestHour), Problem: wireProblem(state.Problem),
	}
	if !state.Since.IsZero() {
		out.LagSeconds = max(0, int64(s.Now().Sub(state.Since).Seconds()))
	}
	return reply(w, http.StatusOK, out)
}
