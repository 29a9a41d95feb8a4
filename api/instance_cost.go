package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// What an instance costs grows with every second and is no part of its revision.
// It is computed for whoever asks for it and for nobody else: an answer without it
// is one read of one row.

func (s *server) replyWithCost(w http.ResponseWriter, r *http.Request, c cloud.Caller, in cloud.Instance) error {
	costs, err := s.instanceCosts(r.Context(), c, []string{in.ID})
	if err != nil {
		return err
	}
	out := wireInstance(in)
	out.Cost = some(costs[in.ID])
	about(w, in.TenantID)
	etag(w, in.Tag())
	return reply(w, http.StatusOK, out)
}

// addCosts puts the costs to the rendered instances of a list, where they were
// asked for: by cost=true or as a field.
func (s *server) addCosts(r *http.Request, c cloud.Caller, parts [][]byte, fields []string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	q := query{Values: r.URL.Query()}
	asked := q.flag("cost")
	if q.err != nil || (!asked && !slices.Contains(fields, "cost")) {
		return q.err
	}
	ids := make([]string, len(parts))
	for i, p := range parts {
		var of struct {
			ID string `json:"id"`
		}
		if p != nil && json.Unmarshal(p, &of) == nil {
			ids[i] = of.ID
		}
	}
	costs, err := s.instanceCosts(r.Context(), c, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" }))
	if err != nil {
		return err
	}
	for i, id := range ids {
		if id == "" {
			continue
		}
		cost, err := json.Marshal(costs[id])
		if err != nil {
			return err
		}
		end := len(parts[i]) - 1 // its closing brace; what is kept of it stays as it is
		parts[i] = slices.Concat(parts[i][:end], []byte(`,"cost":`), cost, []byte("}"))
	}
	return nil
}

// instanceCosts are what each instance cost in this month so far.
func (s *server) instanceCosts(ctx context.Context, c cloud.Caller, ids []string) (map[string]wire.InstanceCost, error) {
	now := s.Now().UTC()
	b, err := s.book(ctx, c, "")
	if err != nil {
		return nil, err
	}
	from, to := cloud.Month(now), cloud.Hour(now).Add(time.Hour)
	in := meter.Input{Prices: b.prices, Discounts: b.discounts, From: from, To: to, Now: now}
	var f cloud.UsageFilter
	f.From, f.To = meter.Window(from, to)
	for _, id := range ids {
		f.InstanceID = id
		traffic, err := s.Usage.UsageTraffic(ctx, c, cloud.UsageFilter{InstanceID: id, From: from, To: to})
		if err != nil {
			return nil, err
		}
		intervals, err := s.Usage.UsageIntervals(ctx, c, f)
		if err != nil {
			return nil, err
		}
		facts, err := s.Facts.UsageFacts(ctx, c, f)
		if err != nil {
			return nil, err
		}
		in.Intervals, in.Facts, in.Traffic = append(in.Intervals, intervals...), append(in.Facts, facts...), append(in.Traffic, traffic...)
	}
	out := map[string]wire.InstanceCost{}
	for _, id := range ids {
		out[id] = wire.InstanceCost{Currency: b.currency.Code, Cost: "0", From: wireTime(from), At: wireTime(now), Note: note(b.currency, meter.Share{})}
	}
	for _, share := range shares(meter.Charges(in), "instance") {
		cost := out[share.Key]
		cost.Cost, cost.Note = share.Cost.String(), note(b.currency, share)
		out[share.Key] = cost
	}
	return out, nil
}
