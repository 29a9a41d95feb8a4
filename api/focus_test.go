package api_test

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

// The rules of FOCUS 1.2 and 1.3 as their columns and attributes state them, beside
// the code that writes the rows.

var focusMandatory = []string{
	"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass",
	"ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity",
	"PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}

var focusNeverNull = []string{
	"BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeFrequency", "ChargePeriodEnd",
	"ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory",
}

// focusSince are the columns that 1.3 put: mandatory, and null only of what has no
// provider that could be named.
var focusSince = []string{"HostProviderName", "ServiceProviderName"}

var focusNumbers = []string{"BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost", "ListUnitPrice", "PricingQuantity"}

var focusAllowed = map[string][]string{
	"ChargeCategory":  {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
	"ChargeClass":     {"", "Correction"},
	"ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
	"PricingCategory": {"", "Standard", "Dynamic", "Committed", "Other"},
	"ServiceCategory": {"AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools", "Multicloud", "Identity", "Integration",
		"Internet of Things", "Management and Governance", "Media", "Migration", "Mobile", "Networking", "Security", "Storage", "Web", "Other"},
	"ConsumedUnit": {"", "Hours", "Core-Hours", "GiB-Hours", "GB"},
	"PricingUnit":  {"", "Hours", "Core-Hours", "GiB-Hours", "GB"},
}

var focusParents = map[string]string{
	"Virtual Machines": "Compute", "Block Storage": "Storage", "Backup Storage": "Storage", "Other (Storage)": "Storage", "Network Connectivity": "Networking", "Other (Other)": "Other",
}

var (
	focusNumber = regexp.MustCompile(`^-?[0-9]+([.][0-9]+)?$`)
	focusMoment = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`)
)

// checkFocus says what is wrong with a row.
func checkFocus(r map[string]string) (wrong []string) {
	say := func(bad bool, what string) {
		if bad {
			wrong = append(wrong, what)
		}
	}
	for _, c := range focusNeverNull {
		say(strings.TrimSpace(r[c]) == "", c+" is null")
	}
	for _, c := range focusNumbers {
		say(r[c] != "" && !focusNumber.MatchString(r[c]), c+" is no number: "+r[c])
	}
	for c, values := range focusAllowed {
		say(!slices.Contains(values, r[c]), c+" is "+r[c])
	}
	for _, c := range []string{"BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"} {
		say(!focusMoment.MatchString(r[c]), c+" is "+r[c])
	}
	say(r["ChargePeriodStart"] >= r["ChargePeriodEnd"] || r["BillingPeriodStart"] >= r["BillingPeriodEnd"], "a period ends before it begins")
	say(focusParents[r["ServiceSubcategory"]] != r["ServiceCategory"], r["ServiceSubcategory"]+" is not of "+r["ServiceCategory"])
	say(len(r["BillingCurrency"]) != 3, "BillingCurrency is "+r["BillingCurrency"])
	correction, usage := r["ChargeClass"] == "Correction", r["ChargeCategory"] == "Usage"
	say(!correction && (r["ChargePeriodStart"] < r["BillingPeriodStart"] || r["ChargePeriodEnd"] > r["BillingPeriodEnd"]), "the charge is not in its billing period")
	say(correction && r["ChargePeriodEnd"] > r["BillingPeriodStart"], "a correction within the billing period")
	say((r["ConsumedUnit"] == "") != (r["ConsumedQuantity"] == ""), "ConsumedUnit without a quantity, or the reverse")
	say((r["PricingUnit"] == "") != (r["PricingQuantity"] == ""), "PricingUnit without a quantity, or the reverse")
	for _, c := range []string{"ConsumedQuantity", "ContractedUnitPrice", "ListUnitPrice", "PricingCategory", "PricingQuantity", "SkuId", "SkuPriceId", "SkuMeter", "ResourceId"} {
		say(usage && !correction && r[c] == "", c+" of usage is null")
		say(r["ChargeCategory"] == "Tax" && r[c] != "", c+" of tax is "+r[c])
	}
	say(!usage && r["ConsumedQuantity"] != "", "ConsumedQuantity of what is no usage")
	number := func(c string) decimal.Decimal { d, _ := decimal.NewFromString(r[c]); return d }
	for unit, cost := range map[string]string{"ListUnitPrice": "ListCost", "ContractedUnitPrice": "ContractedCost"} {
		say(number(unit).IsNegative(), unit+" is negative")
		if r[unit] != "" && r["PricingQuantity"] != "" {
			say(!number(unit).Mul(number("PricingQuantity")).Equal(number(cost)), unit+" x PricingQuantity is not "+cost)
		}
		if r["ChargeCategory"] == "Adjustment" {
			say(r[unit] != "" || r[cost] != r["BilledCost"], cost+" of an adjustment is not BilledCost")
		}
	}
	say(r["EffectiveCost"] != r["BilledCost"], "EffectiveCost is not BilledCost, and there are no commitments")
	if _, newer := r["ServiceProviderName"]; newer {
		say(r["ServiceProviderName"] == "", "ServiceProviderName is null")
		say(r["HostProviderName"] != r["ServiceProviderName"], "HostProviderName is not ServiceProviderName, and the host is the provider's")
	}
	if r["SkuPriceDetails"] != "" {
		var details map[string]int
		say(json.Unmarshal([]byte(r["SkuPriceDetails"]), &details) != nil || len(details) != 1 || r["SkuPriceId"] == "", "SkuPriceDetails are "+r["SkuPriceDetails"])
	}
	if r["Tags"] != "" {
		var tags map[string]string
		say(json.Unmarshal([]byte(r["Tags"]), &tags) != nil || len(tags) == 0, "Tags are "+r["Tags"])
	}
	return wrong
}

func (h *house) focus(query string) []map[string]string {
	h.t.Helper()
	return h.focusOf("1.2", query)
}

func (h *house) focusOf(version, query string) []map[string]string {
	h.t.Helper()
	if version != "1.2" {
		query += "&version=" + version
	}
	a := h.do("GET", "/v1/export/focus?"+query, "").want(200)
	if a.Header.Get("Focus-Version") != version || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") {
		h.t.Errorf("headers %v", a.Header)
	}
	header, _, _ := strings.Cut(string(a.body), "\n")
	names := strings.Split(header, ",")
	own := false
	for _, name := range names {
		if strings.HasPrefix(name, "x_") {
			own = true
		} else if own {
			h.t.Errorf("the column %s is behind lodge's own", name)
		}
	}
	for _, name := range focusMandatory {
		if !slices.Contains(names, name) {
			h.t.Errorf("no column %s", name)
		}
	}
	for _, name := range focusSince {
		if slices.Contains(names, name) != (version == "1.3") {
			h.t.Errorf("the column %s of 1.3 in %s", name, version)
		}
	}
	rows := rowsOf(h.t, a)
	for i, r := range rows {
		if wrong := checkFocus(r); wrong != nil {
			h.t.Errorf("row %d, %v: %v", i+1, r, wrong)
		}
	}
	return rows
}

func isUsage(r map[string]string) bool { return r["ChargeCategory"] == "Usage" }

func TestFocusRowsFollowTheRulesAndAddUp(t *testing.T) {
	h, in := billed(t, func(o *api.Options) {
		o.Terms = cloud.InvoiceTerms{Prefix: "INV-", Issuer: "Acme Hosting\n1 Main Street", TaxPercent: "19"}
	})
	cost := decoded[wire.Cost](h.do("GET", "/v1/cost?from=2026-11&to=2026-12", "").want(200))
	before := h.focus("month=2026-11")
	if sum := sumRows(t, before, "BilledCost", nil); sum != cost.Cost {
		t.Errorf("the rows add up to %s, the report says %s", sum, cost.Cost)
	}
	if sum := sumRows(t, before, "ListCost", nil); sum != cost.ListCost {
		t.Errorf("the list costs add up to %s, the report says %s", sum, cost.ListCost)
	}
	seen := map[string]bool{}
	kinds := map[string]int{}
	for _, r := range before {
		key := strings.Join([]string{r["ResourceId"], r["x_LodgeSlot"], r["SkuId"], r["SkuPriceId"], r["ChargePeriodStart"], r["x_LodgeKind"], r["x_LodgeDiscountId"]}, "|")
		if seen[key] {
			t.Errorf("twice: %s", key)
		}
		seen[key] = true
		kinds[r["x_LodgeKind"]]++
		if r["ResourceType"] == "Image" {
			continue // it has no price here, and costs 0
		}
		if r["ResourceId"] != in.ID || r["Tags"] != `{"env":"prod"}` || r["InvoiceId"] != "" || r["ProviderName"] != "Acme Hosting" || r["BillingAccountName"] != "default" {
			t.Errorf("row %v", r)
		}
	}
	if kinds["usage"] < 30 || kinds["minimum"] != 1 || kinds["beyond_cap"] == 0 {
		t.Errorf("rows of %v", kinds)
	}
	// Parts of the month are the month, and hours that are not closed are not there.
	parts := append(h.focus("from=2026-11&to=2026-11-30T23:00:00Z"), h.focus("from=2026-11-30T23:00:00Z&to=2026-12")...)
	if len(parts) != len(before) {
		t.Errorf("%d rows in parts, %d in one", len(parts), len(before))
	}
	december := h.focus("month=2026-12")
	if last := december[len(december)-1]["ChargePeriodEnd"]; last > "2026-12-01T12:00:00Z" {
		t.Errorf("an hour that is not closed: %s", last)
	}

	i := decoded[wire.Invoice](h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-11"}`).want(201))
	after := h.focus("month=2026-11")
	ofInvoice := func(r map[string]string) bool { return r["InvoiceId"] == i.Number }
	if sum := sumRows(t, after, "BilledCost", ofInvoice); !decimal.RequireFromString(sum).Equal(decimal.RequireFromString(i.Total)) {
		t.Errorf("the rows of the invoice add up to %s, its total is %s", sum, i.Total)
	}
	if sum := sumRows(t, after, "BilledCost", isUsage); sum != i.Subtotal || sum != cost.Cost {
		t.Errorf("the usage of the invoice is %s, its subtotal %s, the report %s", sum, i.Subtotal, cost.Cost)
	}
	if len(after) != len(before)+2 {
		t.Errorf("%d rows, and %d before the invoice", len(after), len(before))
	}
	// The same in 1.3, with the columns that it put.
	newer := h.focusOf("1.3", "month=2026-11")
	for _, r := range newer {
		if r["ServiceProviderName"] != "Acme Hosting" {
			t.Errorf("row %v", r)
		}
		for _, name := range focusSince {
			delete(r, name)
		}
	}
	if diff := cmp.Diff(after, newer); diff != "" {
		t.Errorf("1.2 (-), 1.3 (+)\n%s", diff)
	}
	h.do("GET", "/v1/export/focus?version=1.4", "").wantFailure(400, cloud.CodeInvalid)
}

// What is found out after the invoice is in the month of the next one; the rows of
// both invoices go on to add up to them.
func TestFocusHasCorrectionsWhereTheyAreInvoiced(t *testing.T) {
	h := newHouse(t)
	h.store.now = time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	for _, meter := range []string{"vcpu", "memory", "disk"} {
		h.do("POST", "/v1/prices", `{"meter":"`+meter+`","unit_price":"0.0123","currency":"EUR"}`).want(201)
	}
	in := h.create(`{"name":"web1","size":"2 vCPU, 4GB"}`)
	h.sees(in.ID)
	h.store.now = time.Date(2026, 12, 1, 12, 5, 0, 0, time.UTC)
	h.closeHours()
	first := decoded[wire.Invoice](h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-11"}`).want(201))
	h.do("DELETE", "/v1/instances/"+in.ID, "").want(202)
	i, err := h.db.Instance(context.Background(), operator, in.ID)
	if err != nil {
		t.Fatal(err)
	}
	// It was gone in November, as is known now.
	if err := h.db.RecordInstance(context.Background(), cloud.InstanceRecord{
		ID: i.ID, Generation: i.Generation, State: cloud.StateGone, ObservedGeneration: i.Generation, At: h.store.now,
		EndAt: time.Date(2026, 11, 30, 22, 30, 0, 0, time.UTC), Evidence: cloud.EvidenceLog,
	}); err != nil {
		t.Fatal(err)
	}
	h.store.now = time.Date(2027, 1, 1, 0, 10, 0, 0, time.UTC)
	h.closeHours()
	second := decoded[wire.Invoice](h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-12"}`).want(201))
	for _, inv := range []wire.Invoice{first, second} {
		rows := h.focus("month=" + inv.Month)
		sum := sumRows(t, rows, "BilledCost", nil)
		if !decimal.RequireFromString(sum).Equal(decimal.RequireFromString(inv.Total)) {
			t.Errorf("%s: the rows add up to %s, the total is %s", inv.Number, sum, inv.Total)
		}
	}
	if len(second.Lines) != 3 || !strings.HasPrefix(second.Subtotal, "-") {
		t.Errorf("the second is %+v", second)
	}
	corrections := 0
	for _, r := range h.focus("month=2026-12") {
		if r["ChargeClass"] == "Correction" {
			corrections++
		}
	}
	if corrections != 3 {
		t.Errorf("%d rows are corrections", corrections)
	}
	known := decoded[wire.Cost](h.do("GET", "/v1/cost?from=2026-11&to=2027-01", "").want(200))
	if sum := decimal.RequireFromString(first.Subtotal).Add(decimal.RequireFromString(second.Subtotal)); sum.String() != known.Cost {
		t.Errorf("both invoices are %s, the report says %s", sum, known.Cost)
	}
}

func TestATenantExportsItsOwn(t *testing.T) {
	g := newGuarded(t)
	g.objects()
	if rows := rowsOf(t, g.as("theirs viewer", "GET", "/v1/export/focus?month=2026-11", "").want(200)); len(rows) != 0 {
		t.Errorf("theirs: %v", rows)
	}
	g.as("theirs admin", "GET", "/v1/export/focus?month=2026-11&tenant=ours", "").wantFailure(404, cloud.CodeNotFound)
	g.as("theirs admin", "GET", "/v1/export/sink", "").wantFailure(403, cloud.CodeForbidden)
	if s := decoded[wire.UsageSink](g.as("operator", "GET", "/v1/export/sink", "").want(200)); s.Configured {
		t.Errorf("sink %+v", s)
	}
}

// The rows of bytes are those of the closed hours, to the byte: also of a reading
// that lies in three hours.
func TestFocusHasTheBytesOfTheHours(t *testing.T) {
	h := newHouse(t)
	h.store.now = time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	h.do("POST", "/v1/prices", `{"meter":"egress","unit_price":"0.03","currency":"EUR"}`).want(201)
	in := h.create(`{"name":"web1","size":"2 vCPU, 4GB"}`)
	h.sees(in.ID)
	i, err := h.db.Instance(context.Background(), operator, in.ID)
	if err != nil {
		t.Fatal(err)
	}
	read := func(at time.Time, egress int64) {
		t.Helper()
		r := cloud.TrafficReading{InstanceID: in.ID, Run: i.StartedAt, At: at, NICs: []cloud.NICCounter{{Device: "vnet0", Egress: egress}}}
		if err := h.db.RecordTraffic(context.Background(), at, []cloud.TrafficReading{r}); err != nil {
			t.Fatal(err)
		}
	}
	h.store.now = time.Date(2026, 11, 30, 22, 20, 0, 0, time.UTC)
	read(h.store.now, 1_000_000_007)
	h.store.now = time.Date(2026, 12, 1, 1, 7, 0, 0, time.UTC)
	read(h.store.now, 5_000_000_011)
	h.store.now = time.Date(2026, 12, 1, 3, 5, 0, 0, time.UTC)
	h.closeHours()
	hours := map[string]string{}
	for n := int64(0); ; {
		hour, found, err := h.db.NextSinkHour(context.Background(), "http://a")
		if err != nil {
			t.Fatal(err)
		}
		if !found || hour.Seq == n {
			break
		}
		if b := hour.Totals["egress"]; b != "" {
			hours[hour.Hour.Format(time.RFC3339)] = decimal.RequireFromString(b).Shift(-9).String()
		}
		n = hour.Seq
		if err := h.db.SinkTook(context.Background(), h.store.now, "http://a", n, 0, 0, true); err != nil {
			t.Fatal(err)
		}
	}
	rows := map[string]string{}
	sum := decimal.Zero
	for _, month := range []string{"2026-11", "2026-12"} {
		for _, r := range h.focus("month=" + month) {
			if r["SkuId"] == "egress" {
				rows[r["ChargePeriodStart"]] = r["ConsumedQuantity"]
				sum = sum.Add(decimal.RequireFromString(r["ConsumedQuantity"]))
			}
		}
	}
	if !maps.Equal(hours, rows) || len(rows) != 6 || sum.String() != "5.000000011" {
		t.Errorf("hours %v, rows %v, together %s", hours, rows, sum)
	}
}
