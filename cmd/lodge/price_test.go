package main

import (
	"testing"
	"time"

	"lodge/api/wire"
)

const priceID = "44444444-4444-4444-8444-444444444441"

func aPrice(change ...func(*wire.Price)) wire.Price {
	hour := func(s string) wire.Time {
		t, err := time.Parse("2006-01-02", s)
		if err != nil {
			panic(err)
		}
		return wire.Time{Time: t}
	}
	p := wire.Price{ID: priceID, Meter: "vcpu", Unit: "vCPU-h", UnitPrice: "0.0125", Currency: "EUR", ValidFrom: hour("2026-12-01"),
		States: []string{"paused", "running"}, MinimumSeconds: 60, CapHours: 672, CreatedAt: hour("2026-11-05")}
	for _, c := range change {
		c(&p)
	}
	return p
}

func TestPricesAndDiscounts(t *testing.T) {
	special := aPrice(func(p *wire.Price) {
		p.TenantID, p.Label, p.Flavor, p.States, p.MinimumSeconds, p.CapHours, p.Meter, p.Unit, p.ValidTo = acmeID, "env=prod", "c2-m4", []string{}, 0, 0, "disk", "GiB-h", p.ValidFrom
	})
	list := wire.List[wire.Price]{Items: []wire.Price{aPrice(), special}}
	off := wire.Discount{ID: priceID, TenantID: acmeID, Percent: "12.5", ValidFrom: aPrice().ValidFrom}
	runGolden(t, []golden{
		{"price-list", "price list --meter vcpu --at 2026-12", func(b *bench) { b.on("GET /v1/prices", list) }},
		{"price-list-json", "price list -o json", func(b *bench) { b.on("GET /v1/prices", wire.List[wire.Price]{Items: []wire.Price{aPrice()}}) }},
		{"price-add", "price add vcpu 0.0125 --currency EUR --from 2026-12 --minimum 60 --cap 672", func(b *bench) { b.on("POST /v1/prices", status{201, aPrice()}) }},
		{"price-add-all", "--tenant acme price add disk 0.0001 --selector env=prod --flavor c2-m4 --state any --from 2026-12 --to 2027-01 --replace", func(b *bench) { b.on("POST /v1/prices", status{201, special}) }},
		{"price-add-conflict", "price add vcpu 1", func(b *bench) {
			b.on("POST /v1/prices", problem{Status: 409, Code: "conflict", Detail: "There is a price of the same from 2026-12-01T00:00:00Z on; end that one first."})
		}},
		{"price-add-half", "price add vcpu", nil},
		{"price-add-no-state", "price add vcpu 1 --state=", nil},
		{"price-add-no-such-flavor", "price add vcpu 0.0125 --flavor nosuch", func(b *bench) { b.on("POST /v1/prices", status{201, aPrice()}) }},
		{"price-show", "price show " + priceID, func(b *bench) { b.on("GET /v1/prices/"+priceID, aPrice()) }},
		{"discount-show", "discount show " + priceID, func(b *bench) { b.on("GET /v1/discounts/"+priceID, off) }},
		{"price-end", "price end " + priceID + " --at 2027-01", func(b *bench) {
			b.on("POST /v1/prices/"+priceID+"/end", aPrice(func(p *wire.Price) { p.ValidTo = wire.Time{Time: p.ValidFrom.AddDate(0, 1, 0)} }))
		}},
		{"discount-list", "discount list", func(b *bench) { b.on("GET /v1/discounts", wire.List[wire.Discount]{Items: []wire.Discount{off}}) }},
		{"discount-add", "discount add acme 12.5% --from 2026-12", func(b *bench) { b.on("POST /v1/discounts", status{201, off}) }},
		{"discount-end", "discount end " + priceID, func(b *bench) {
			b.on("POST /v1/discounts/"+priceID+"/end", wire.Discount{ID: priceID, TenantID: acmeID, Meter: "vcpu", Percent: "12.5", ValidFrom: off.ValidFrom, ValidTo: off.ValidFrom})
		}},
	})
}

func TestCostsAndEstimates(t *testing.T) {
	cost := wire.Cost{From: aPrice().CreatedAt, To: aPrice().ValidFrom, At: aPrice().ValidFrom, Currency: "EUR", Minor: 2, Cost: "1.0625", ListCost: "1.5", By: "instance",
		Lines: []wire.CostLine{{Key: web1ID, Name: "web1", Cost: "1.0625", ListCost: "1.5"}, {Key: db1ID, Name: "db1", Cost: "0", ListCost: "0", Note: "no price"}}, Note: "no price",
		Forecast: &wire.CostForecast{From: aPrice().CreatedAt, To: aPrice().ValidFrom, Cost: "30.66", Assumption: "Nothing changes."}}
	byMeter := wire.Cost{Currency: "EUR", Cost: "0.5", ListCost: "0.5", By: "meter", Lines: []wire.CostLine{{Key: "vcpu", Quantity: "40", Unit: "vCPU-h", Cost: "0.5", ListCost: "0.5"}}}
	byLabel := wire.Cost{Cost: "0", ListCost: "0", By: "label:env", Lines: []wire.CostLine{{Key: "", Cost: "0", ListCost: "0", Note: "no price"}}, Note: "no price"}
	estimate := wire.SizeEstimate{TenantID: acmeID, VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20, Price: wire.PriceEstimate{Currency: "EUR", PerHour: "0.0125", PerMonth: "3", HoursPerMonth: 240, Note: "no price",
		Lines: []wire.EstimateLine{
			{Meter: "vcpu", Unit: "vCPU-h", Quantity: "2", PriceID: priceID, UnitPrice: "0.0125", DiscountPercent: "50", HoursPerMonth: 240, PerHour: "0.0125", PerMonth: "3"},
			{Meter: "disk", Unit: "GiB-h", Quantity: "20", UnitPrice: "0", HoursPerMonth: 730, PerHour: "0", PerMonth: "0"},
		}}}
	runGolden(t, []golden{
		{"cost", "cost", func(b *bench) { b.on("GET /v1/cost", cost) }},
		{"cost-json", "cost web1 --month 2026-11 --by meter -o json", func(b *bench) { b.on("GET /v1/cost", byMeter) }},
		{"cost-meter", "cost --by meter --from 2026-11-01", func(b *bench) { b.on("GET /v1/cost", byMeter) }},
		{"usage-by-day", "usage --by day --from 2026-11-22T18:00Z --to 2026-11-23 -l env=prod", func(b *bench) {
			b.on("GET /v1/usage", wire.UsageReport{By: "day", Lines: []wire.UsageLine{{Key: "2026-11-22", Meter: "vcpu", Quantity: "3", Unit: "vCPU-h"}, {Key: "2026-11-22", Meter: "disk", Quantity: "60", Unit: "GiB-h"}}})
		}},
		{"usage-by-meter", "usage --by meter", func(b *bench) {
			b.on("GET /v1/usage", wire.UsageReport{By: "meter", Lines: []wire.UsageLine{{Key: "vcpu", Meter: "vcpu", Quantity: "3", Unit: "vCPU-h"}}})
		}},
		{"export-usage-output", "export usage -o json", nil},
		{"export-focus-output", "-o yaml export focus", nil},
		{"invoice-show-output", "-o json invoice show --html -", nil},
		{"cost-label", "--tenant acme cost --by label:env -l env,tier!=db", func(b *bench) { b.on("GET /v1/cost", byLabel) }},
		{"cost-deleted", "cost db1", func(b *bench) {
			b.on("GET /v1/instances", instances()).on("GET /v1/usage", usageOf("db1")).on("GET /v1/cost", cost)
		}},
		{"estimate", "estimate 2~vCPU,~4GB --hours 240 --label env=prod", func(b *bench) { b.on("POST /v1/estimates", estimate) }},
		{"estimate-numbers", "--tenant acme estimate --vcpus 2 --memory 4GB --disk 20 --image debian-12 -o yaml", func(b *bench) { b.on("POST /v1/estimates", estimate) }},
		{"estimate-bad", "estimate --memory much", nil},
		{"show-cost", "show web1 --cost", func(b *bench) {
			in := web1()
			in.Cost = &wire.InstanceCost{Currency: "EUR", Cost: "1.0625", From: wire.Time{Time: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}, At: ago(0)}
			b.on("GET /v1/instances/"+web1ID, in)
		}},
		{"create-dry-run-price", "create web1 --no-ssh-key --dry-run", func(b *bench) {
			in := web1()
			b.on("POST /v1/instances", wire.DryRun{DryRun: true, Action: "instance.create", Instance: &in, Estimate: wire.Estimate{
				VCPUs: 2, Quota: []wire.QuotaEstimate{{Resource: "instances", Before: 1, After: 2}}, Price: &estimate.Price,
			}})
		}},
	})
}
