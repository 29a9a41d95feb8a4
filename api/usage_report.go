package api

import (
	"iter"
	"net/http"
	"strings"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// usageReport says how much of each meter was used, by what the request says. It
// is asked for as costs are.
func (s *server) usageReport(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	now := s.Now().UTC()
	q, err := s.costQuery(r, c, now)
	if err != nil {
		return err
	}
	in, _, err := s.ledger(r.Context(), c, q.UsageFilter)
	if err != nil {
		return err
	}
	in.From, in.To, in.Now = q.From, q.To, now
	out := wire.UsageReport{From: wireTime(q.From), To: wireTime(q.To), At: wireTime(now), By: q.by, Lines: []wire.UsageLine{}}
	if q.forecast {
		out.To = wireTime(now)
	}
	for _, share := range usedBy(meter.Fitting(meter.Used(in), q.labels), q.by) {
		line := wire.UsageLine{Key: share.Key, Name: share.Name, Meter: string(share.Meter), Quantity: share.Quantity.String(), Unit: share.Meter.Unit()}
		if q.by == "tenant" {
			if line.Name, err = s.tenantName(r, c, share.Key); err != nil {
				return err
			}
		}
		out.Lines = append(out.Lines, line)
	}
	if q.format == "csv" {
		rows := [][]string{{"key", "name", "meter", "quantity", "unit"}}
		for _, l := range out.Lines {
			rows = append(rows, []string{l.Key, l.Name, l.Meter, l.Quantity, l.Unit})
		}
		return replyCSV(w, "usage-"+q.From.Format("20060102T15")+"-"+q.To.Format("20060102T15")+".csv", rows)
	}
	return reply(w, http.StatusOK, out)
}

// usedBy adds up what was used by what was asked for, and by meter.
func usedBy(charges iter.Seq[meter.Charge], by string) []meter.MeterShare {
	switch by {
	case "day":
		charges = meter.Daily(charges)
		return meter.ByMeter(charges, func(c meter.Charge) (string, string) { return c.Hour.Format(time.DateOnly), "" })
	case "hour":
		charges = meter.Hourly(charges)
		return meter.ByMeter(charges, func(c meter.Charge) (string, string) { return c.Hour.Format(time.RFC3339), "" })
	}
	return meter.ByMeter(charges, groupOf(by))
}

// groupOf says which line of a report a charge is in.
func groupOf(by string) func(meter.Charge) (key, name string) {
	label, isLabel := strings.CutPrefix(by, "label:")
	return func(c meter.Charge) (key, name string) {
		switch {
		case isLabel:
			return c.Labels[label], ""
		case by == "tenant":
			return c.TenantID, ""
		case by == "meter":
			return string(c.Meter), ""
		}
		return c.ResourceID, c.Resource
	}
}
