package daemon

import (
	"context"
	"sync"
	"time"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// rateEvery is how often it is computed: it goes through all that is metered.
const rateEvery = time.Minute

// rater keeps the rate for a while.
type rater struct {
	mu   sync.Mutex
	at   time.Time
	rate float64
}

func (r *rater) now(ctx context.Context, db *store.DB, now time.Time) (float64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.at); age >= 0 && age < rateEvery {
		return r.rate, nil
	}
	rate, err := presentRate(ctx, db, now)
	if err == nil {
		r.rate, r.at = rate, now
	}
	return rate, err
}

// presentRate is what an hour of everything that is metered now costs, as a float:
// it is for graphs, not for bills.
func presentRate(ctx context.Context, db *store.DB, now time.Time) (float64, error) {
	all := cloud.Caller{Operator: true, Via: "metrics"}
	hour := cloud.Hour(now)
	in := meter.Input{From: hour, To: hour.Add(time.Hour), Now: hour.Add(time.Hour)}
	var err error
	if in.Intervals, err = db.UsageIntervals(ctx, all, cloud.UsageFilter{From: now, To: now.Add(time.Millisecond)}); err != nil {
		return 0, err
	}
	if in.Facts, err = db.UsageFacts(ctx, all, cloud.UsageFilter{}); err != nil {
		return 0, err
	}
	if in.Prices, err = db.Prices(ctx, all, cloud.PriceFilter{At: now}); err != nil {
		return 0, err
	}
	if in.Discounts, err = db.Discounts(ctx, all, cloud.PriceFilter{At: now}); err != nil {
		return 0, err
	}
	for i := range in.Intervals { // an hour of each, whenever it began; beyond a cap it costs nothing, and that is left out
		in.Intervals[i].StartedAt, in.Intervals[i].EndedAt = in.From, time.Time{}
	}
	for i := range in.Prices {
		in.Prices[i].From, in.Prices[i].To, in.Prices[i].CapHours = in.From, time.Time{}, 0
	}
	return meter.Whole(meter.By(meter.Charges(in), func(meter.Charge) (string, string) { return "", "" })).Cost.InexactFloat64(), nil
}
