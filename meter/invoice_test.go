package meter

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

// The total is rounded once, half to even, in the minor unit of the currency, and
// the rounding line makes up for it exactly.
func TestAnInvoiceIsRoundedOnce(t *testing.T) {
	for _, tc := range []struct {
		currency, percent string
		costs             []string
		tax, round, total string
	}{
		{"EUR", "", []string{"0.004", "0.004", "0.004"}, "0", "-0.002", "0.01"},
		{"EUR", "", []string{"0.005"}, "0", "-0.005", "0.00"},
		{"EUR", "", []string{"0.015"}, "0", "0.005", "0.02"},
		{"EUR", "", []string{"-0.025"}, "0", "0.005", "-0.02"},
		{"EUR", "19", []string{"10"}, "1.9", "0", "11.90"},
		{"EUR", "19.0", []string{"0.01"}, "0.0019", "-0.0019", "0.01"},
		{"JPY", "10", []string{"105"}, "10.5", "0.5", "116"},
		{"JPY", "", nil, "0", "0", "0"},
		{"KWD", "", []string{"0.0005"}, "0", "-0.0005", "0.000"},
	} {
		i := cloud.Invoice{Currency: cloud.CurrencyOf(tc.currency)}
		for _, c := range tc.costs {
			i.Lines = append(i.Lines, cloud.InvoiceLine{Quantity: "1", Cost: c})
		}
		if err := total(&i, tc.percent); err != nil {
			t.Fatal(err)
		}
		if i.Tax != tc.tax || i.Rounding != tc.round || i.Total != tc.total {
			t.Errorf("%+v: got tax %s, rounding %s, total %s", tc, i.Tax, i.Rounding, i.Total)
		}
		sum := decimal.Zero
		for _, part := range []string{i.Subtotal, i.Tax, i.Rounding} {
			sum = sum.Add(decimal.RequireFromString(part))
		}
		if !sum.Equal(decimal.RequireFromString(i.Total)) {
			t.Errorf("%+v: the parts make %s", tc, sum)
		}
	}
}

// An invoice says what a report of the month says: over caps, minimums, discounts
// and a resize.
func TestAnInvoiceIsWhatTheReportSays(t *testing.T) {
	month := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	on := func(seq int64, slot string, m cloud.Meter, amount int64, from, to time.Duration) cloud.Interval {
		return cloud.Interval{Seq: seq, TenantID: "t", ResourceID: "r", Resource: "r", StartedAt: month.Add(from), EndedAt: month.Add(to),
			Reading: cloud.Reading{Slot: slot, Meter: m, Amount: amount, State: cloud.StateRunning}}
	}
	short := on(6, "cpu", cloud.MeterVCPU, 1, time.Hour, time.Hour+time.Second)
	short.ResourceID = "s"
	part := cloud.LedgerPart{
		Intervals: []cloud.Interval{
			short,
			on(1, "cpu", cloud.MeterVCPU, 2, -30*time.Minute, 10*time.Hour+time.Millisecond), on(2, "cpu", cloud.MeterVCPU, 4, 10*time.Hour+time.Millisecond, 30*time.Hour),
			on(3, "cpu", cloud.MeterVCPU, 4, 40*time.Hour, 40*time.Hour+time.Second), on(4, "memory", cloud.MeterMemory, 1000, time.Hour, 28*24*time.Hour+time.Hour),
			on(5, "disk:root", cloud.MeterDisk, 20, 0, time.Hour),
		},
		Prices: []cloud.Price{
			{ID: "p1", Meter: cloud.MeterVCPU, UnitPrice: "0.0123", From: month.AddDate(-1, 0, 0), MinimumSeconds: 60, CapHours: 24, States: []cloud.State{cloud.StateRunning}},
			{ID: "p2", Meter: cloud.MeterMemory, UnitPrice: "0.00457", From: month.AddDate(-1, 0, 0), To: month.AddDate(0, 0, 10)},
			{ID: "p3", Meter: cloud.MeterMemory, UnitPrice: "0.005", From: month.AddDate(0, 0, 10)},
		},
		Discounts: []cloud.Discount{{ID: "d1", TenantID: "t", Meter: cloud.MeterVCPU, Percent: "12.5", From: month.Add(5 * time.Hour)}},
	}
	i, err := Invoice(cloud.InvoiceInput{TenantID: "t", Month: month, Now: month.AddDate(0, 1, 0), Currency: cloud.CurrencyOf("EUR"), Ledger: part})
	if err != nil {
		t.Fatal(err)
	}
	in := inputOf(part, month.AddDate(1, 0, 0))
	in.From, in.To = month, month.AddDate(0, 1, 0)
	report := Whole(By(Charges(in), func(c Charge) (string, string) { return c.TenantID, "" }))
	if i.Subtotal != report.Cost.String() || !i.Unpriced {
		t.Errorf("the invoice says %s, the report %s", i.Subtotal, report.Cost)
	}
	kinds := map[cloud.LineKind]int{}
	for _, l := range i.Lines {
		kinds[l.Kind]++
		if !addsUp(l) {
			t.Errorf("does not add up: %+v", l)
		}
	}
	if kinds[cloud.LineUsage] != 5 || kinds[cloud.LineMinimum] != 1 || kinds[cloud.LineCapped] != 1 {
		t.Errorf("got %v: %+v", kinds, i.Lines)
	}
	// What is invoiced needs no correction, and what is not is one.
	more, err := corrections(i.Lines, i.Lines)
	if err != nil || len(more) != 0 {
		t.Errorf("corrections of nothing: %+v, %v", more, err)
	}
	more, err = corrections(nil, i.Lines)
	if err != nil || len(more) != len(i.Lines) {
		t.Errorf("corrections of all: %+v, %v", more, err)
	}
}
