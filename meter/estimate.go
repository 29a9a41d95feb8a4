package meter

import (
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// MonthHours are the hours of the month that estimates are made for: a twelfth
// of a year of 365 days.
const MonthHours = 730

// Quote is what one meter of something costs while it runs.
type Quote struct {
	Meter     cloud.Meter
	Quantity  decimal.Decimal // in an hour
	PriceID   string          // "": there is no price
	UnitPrice decimal.Decimal
	Percent   decimal.Decimal // off
	Hours     int64           // billed in a month
	PerHour   decimal.Decimal // while it runs
	PerMonth  decimal.Decimal
}

// Estimate says what each reading costs in an hour, and in a month of MonthHours
// in which it runs for so many of them and is stopped for the rest: each is billed
// if the price bills it. A cap counts; a minimum does not, for it depends on how
// often it is started.
func Estimate(prices []cloud.Price, discounts []cloud.Discount, tenantID, flavor string, labels map[string]string, readings []cloud.Reading, at time.Time, hours int64) []Quote {
	b := newBook(prices, discounts)
	f := &fact{UsageFact: cloud.UsageFact{Flavor: flavor, Labels: labels}}
	out := make([]Quote, 0, len(readings))
	for _, r := range readings {
		q := Quote{Meter: r.Meter, Quantity: quantityOf(r.Meter, Of(r.Amount, msHour))}
		billed, states := decimal.Zero, r.Meter.BilledStates() // what a billed hour costs, and which are
		rate, _ := rateAt(b.fits(tenantID, r.Meter, f), at.UnixMilli())
		if rate != nil {
			q.PriceID, q.UnitPrice, states = rate.ID, rate.unit, rate.States
			billed = q.Quantity.Mul(rate.unit)
		}
		running, stopped := cloud.Bills(states, cloud.StateRunning), cloud.Bills(states, cloud.StateStopped)
		if running {
			q.Hours += hours
		}
		if stopped {
			q.Hours += MonthHours - hours
		}
		if cut, _ := b.cutAt(tenantID, r.Meter, at.UnixMilli()); cut != nil && rate != nil {
			q.Percent = cut.percent
			billed = billed.Mul(hundred.Sub(cut.percent)).Shift(-2)
		}
		if rate != nil && rate.most > 0 {
			q.Hours = min(q.Hours, rate.CapHours)
		}
		if running {
			q.PerHour = billed
		}
		q.PerMonth = billed.Mul(decimal.NewFromInt(q.Hours))
		out = append(out, q)
	}
	return out
}
