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
	PerHour   decimal.Decimal
	PerMonth  decimal.Decimal
}

// Estimate says what each reading costs in an hour, and in a month of MonthHours
// in which it runs for so many of them. What is billed while it is stopped too is
// billed for the whole month. A cap counts; a minimum does not, for it depends on
// how often it is started.
func Estimate(prices []cloud.Price, discounts []cloud.Discount, tenantID, flavor string, labels map[string]string, readings []cloud.Reading, at time.Time, hours int64) []Quote {
	b := newBook(prices, discounts)
	f := &fact{UsageFact: cloud.UsageFact{Flavor: flavor, Labels: labels}}
	out := make([]Quote, 0, len(readings))
	for _, r := range readings {
		q := Quote{Meter: r.Meter, Quantity: quantityOf(r.Meter, Of(r.Amount, msHour)), Hours: hours}
		states := r.Meter.BilledStates()
		rate, _ := rateAt(b.fits(tenantID, r.Meter, f), at.UnixMilli())
		if rate != nil {
			q.PriceID, q.UnitPrice, states = rate.ID, rate.unit, rate.States
			q.PerHour = q.Quantity.Mul(rate.unit)
		}
		if !cloud.Bills(states, cloud.StateRunning) {
			q.PerHour = decimal.Zero
		}
		if cloud.Bills(states, cloud.StateStopped) {
			q.Hours = MonthHours
		}
		if cut, _ := b.cutAt(tenantID, r.Meter, at.UnixMilli()); cut != nil && rate != nil {
			q.Percent = cut.percent
			q.PerHour = q.PerHour.Mul(hundred.Sub(cut.percent)).Shift(-2)
		}
		if rate != nil && rate.most > 0 {
			q.Hours = min(q.Hours, rate.CapHours)
		}
		q.PerMonth = q.PerHour.Mul(decimal.NewFromInt(q.Hours))
		out = append(out, q)
	}
	return out
}
