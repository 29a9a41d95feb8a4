package api

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// The longest periods of reports that have a line for each of their parts.
const (
	maxByHour = 32 * 24 * time.Hour
	maxByDay  = 400 * 24 * time.Hour
)

// assumption is what a forecast takes for granted.
const assumption = "What runs or is kept now goes on as it is until the end of the month, at the prices and discounts that the book has for then; nothing is started, stopped or changed."

// costQuery is what a report of costs is asked for.
type costQuery struct {
	cloud.UsageFilter
	labels   cloud.Selector
	by       string
	forecast bool
	format   string
}

func (s *server) costQuery(r *http.Request, c cloud.Caller, now time.Time) (q costQuery, err error) {
	p := parseQuery(r, "tenant", "instance", "label", "from", "to", "by", "format")
	q.UsageFilter = cloud.UsageFilter{From: p.instant("from", cloud.Month(now)), To: p.instant("to", now), InstanceID: p.id("instance")}
	q.labels, q.forecast = p.selector("label"), !p.Has("to")
	q.format = p.format(r, "json", "csv")
	if q.by = p.Get("by"); q.by == "" {
		q.by = "instance"
	}
	if key, ok := strings.CutPrefix(q.by, "label:"); ok {
		if bad := cloud.ValidateLabel("by", key, ""); bad != nil {
			p.fail(cloud.Invalid(bad))
		}
	} else {
		p.oneOf("by", "instance", "tenant", "day", "hour", "meter", "label:KEY")
	}
	if p.err == nil {
		p.err = q.checkPeriod(now)
	}
	if p.err == nil {
		q.TenantID, p.err = s.account(r, c, p.Get("tenant"))
	}
	return q, p.err
}

// checkPeriod puts an end that was not given at the end of this hour: what is
// charged belongs to whole hours.
func (q *costQuery) checkPeriod(now time.Time) error {
	if q.forecast {
		q.To = cloud.Hour(now).Add(time.Hour)
	}
	for _, at := range []struct {
		name string
		t    time.Time
	}{{"from", q.From}, {"to", q.To}} {
		if !at.t.Equal(cloud.Hour(at.t)) {
			return invalid(at.name, "Costs are of whole hours of UTC, and %s is within one.", at.t.Format(time.RFC3339Nano))
		}
	}
	most, long := time.Duration(0), q.To.Sub(q.From)
	switch q.by {
	case "hour":
		most = maxByHour
	case "day":
		most = maxByDay
	}
	switch {
	case long <= 0:
		return invalid("to", "The period ends at %s, which is not after its beginning %s; its end is not part of it.", q.To.Format(time.RFC3339), q.From.Format(time.RFC3339))
	case most > 0 && long > most:
		return invalid("by", "A report by %s is of %d days at most.", q.by, int(most/(24*time.Hour)))
	}
	return nil
}

// cost says what was used in a period costs.
func (s *server) cost(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	now := s.Now().UTC()
	q, err := s.costQuery(r, c, now)
	if err != nil {
		return err
	}
	period := q.UsageFilter
	month := cloud.Month(now)
	if q.forecast && month.Before(period.From) {
		period.From = month
	}
	in, currency, err := s.ledger(r.Context(), c, period)
	if err != nil {
		return err
	}
	in.From, in.To, in.Now = q.From, q.To, now
	parts := shares(meter.Fitting(meter.Charges(in), q.labels), q.by)
	sum := meter.Whole(parts)
	out := wire.Cost{
		From: wireTime(q.From), To: wireTime(q.To), At: wireTime(now), Currency: currency.Code, Minor: currency.Minor,
		Cost: sum.Cost.String(), ListCost: sum.ListCost.String(), By: q.by, Lines: []wire.CostLine{}, Note: note(currency, sum),
	}
	if q.forecast {
		out.To = wireTime(now)
		in.From, in.To = month, month.AddDate(0, 1, 0)
		in.Now = in.To
		out.Forecast = &wire.CostForecast{
			From: wireTime(in.From), To: wireTime(in.To), Assumption: assumption,
			Cost: meter.Whole(shares(meter.Fitting(meter.Charges(in), q.labels), "tenant")).Cost.String(),
		}
	}
	for _, share := range parts {
		line := wire.CostLine{Key: share.Key, Name: share.Name, Cost: share.Cost.String(), ListCost: share.ListCost.String(), Note: note(currency, share)}
		switch q.by {
		case "meter":
			line.Quantity, line.Unit = share.Quantity.String(), cloud.Meter(share.Key).Unit()
		case "tenant":
			if line.Name, err = s.tenantName(r, c, share.Key); err != nil {
				return err
			}
		}
		out.Lines = append(out.Lines, line)
	}
	if q.format == "csv" {
		return replyCSV(w, "cost-"+q.From.Format("20060102T15")+"-"+q.To.Format("20060102T15")+".csv", costRows(out))
	}
	return reply(w, http.StatusOK, out)
}

// costRows are a report as CSV: its lines, which add up to its cost.
func costRows(c wire.Cost) [][]string {
	rows := [][]string{{"key", "name", "quantity", "unit", "cost", "list_cost", "currency", "note"}}
	for _, l := range c.Lines {
		rows = append(rows, []string{l.Key, l.Name, l.Quantity, l.Unit, l.Cost, l.ListCost, c.Currency, l.Note})
	}
	return rows
}

func note(currency cloud.Currency, sum meter.Share) string {
	if currency.Code == "" || sum.Unpriced {
		return noPrice
	}
	return ""
}

// shares adds charges up by what was asked for.
func shares(charges iter.Seq[meter.Charge], by string) []meter.Share {
	switch by {
	case "day":
		return meter.ByDay(charges)
	case "hour":
		return meter.ByHour(charges)
	}
	return meter.By(charges, groupOf(by))
}

// ledger reads all that the charges of a period depend on.
func (s *server) ledger(ctx context.Context, c cloud.Caller, f cloud.UsageFilter) (in meter.Input, currency cloud.Currency, err error) {
	if in.Traffic, err = s.Usage.UsageTraffic(ctx, c, f); err != nil {
		return in, currency, err
	}
	f.From, f.To = meter.Window(f.From, f.To)
	if in.Intervals, err = s.Usage.UsageIntervals(ctx, c, f); err != nil {
		return in, currency, err
	}
	if in.Facts, err = s.Facts.UsageFacts(ctx, c, f); err != nil {
		return in, currency, err
	}
	b, err := s.book(ctx, c, f.TenantID)
	in.Prices, in.Discounts = b.prices, b.discounts
	return in, b.currency, err
}
