package meter

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"lodge/cloud"
)

var costExample = regexp.MustCompile("(?s)```cost\n(.*?)```")

// The examples of the manual say what is charged.
func TestTheManualComputesAsLodgeDoes(t *testing.T) {
	text, err := os.ReadFile("../docs/metering.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := costExample.FindAllStringSubmatch(string(text), -1)
	if len(examples) < 9 {
		t.Fatalf("the manual has %d examples", len(examples))
	}
	for _, e := range examples {
		checkExample(t, e[1])
	}
}

func exampleTime(t *testing.T, text string) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	t.Fatalf("%q is no time", text)
	return time.Time{}
}

func checkExample(t *testing.T, text string) {
	t.Helper()
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	in := Input{From: begin, To: begin.AddDate(0, 2, 0), Now: begin.AddDate(0, 2, 0), Facts: []cloud.UsageFact{{ResourceID: "r", Since: begin, Labels: map[string]string{}}}}
	checked := 0
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		w := strings.Fields(line)
		switch w[0] {
		case "price":
			in.Prices = append(in.Prices, examplePrice(t, w, begin, len(in.Prices)))
		case "discount":
			in.Discounts = append(in.Discounts, cloud.Discount{ID: "d", TenantID: "t", Percent: w[1], From: begin})
		case "labels":
			k, v, _ := strings.Cut(w[2], "=")
			in.Facts = append(in.Facts, cloud.UsageFact{ResourceID: "r", Since: exampleTime(t, w[1]), Labels: map[string]string{k: v}})
		case "run":
			amount, err := strconv.ParseInt(w[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			iv := cloud.Interval{Seq: int64(len(in.Intervals)), TenantID: "t", ResourceID: "r", StartedAt: exampleTime(t, w[3]), EndedAt: exampleTime(t, w[4])}
			iv.Slot, iv.Meter, iv.Amount, iv.State = "slot", cloud.Meter(w[1]), amount, cloud.StateRunning
			in.Intervals = append(in.Intervals, iv)
		default:
			part := in
			if w[0] != "=" {
				part.From = exampleTime(t, w[0])
				part.To = part.From.Add(time.Hour)
			}
			got := sole(Charges(part))
			if !got.Quantity.Equal(decimal.RequireFromString(w[1])) || !got.Cost.Equal(decimal.RequireFromString(w[2])) {
				t.Errorf("in\n%s%q: quantity %s, cost %s", text, line, got.Quantity, got.Cost)
			}
			checked++
		}
	}
	if checked == 0 {
		t.Errorf("nothing is said of\n%s", text)
	}
}

func examplePrice(t *testing.T, w []string, from time.Time, n int) cloud.Price {
	t.Helper()
	p := cloud.Price{ID: strconv.Itoa(n), Meter: cloud.Meter(w[1]), UnitPrice: w[2], From: from}
	p.States = p.Meter.BilledStates()
	for _, word := range w[3:] {
		k, v, _ := strings.Cut(word, "=")
		switch k {
		case "from":
			p.From = exampleTime(t, v)
		case "to":
			p.To = exampleTime(t, v)
		case "label":
			p.Selector = v
		case "minimum":
			p.MinimumSeconds, _ = strconv.ParseInt(v, 10, 64)
		case "cap":
			p.CapHours, _ = strconv.ParseInt(v, 10, 64)
		default:
			t.Fatalf("what is %q", word)
		}
	}
	return p
}
