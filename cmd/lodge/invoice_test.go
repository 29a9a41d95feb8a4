package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lodge/api/wire"
)

const invoiceID = "44444444-4444-4444-8444-444444444451"

func anInvoice(change ...func(*wire.Invoice)) wire.Invoice {
	i := wire.Invoice{ID: invoiceID, Number: "INV-000007", TenantID: acmeID, Tenant: "acme", Month: "2026-10", Currency: "EUR", Minor: 2,
		Lines: []wire.InvoiceLine{
			{Month: "2026-10", Kind: "usage", ResourceID: web1ID, Resource: "web1", Slot: "cpu", Meter: "vcpu", Unit: "vCPU-h", PriceID: priceID, Quantity: "1440.2", UnitPrice: "0.0125", DiscountPercent: "10", Cost: "16.20225"},
			{Month: "2026-09", Correction: true, Kind: "usage", ResourceID: db1ID, Resource: "db1", Slot: "cpu", Meter: "vcpu", Unit: "vCPU-h", PriceID: priceID, Quantity: "-1.5", UnitPrice: "0.0125", Cost: "-0.01875"},
		},
		Subtotal: "16.1835", TaxPercent: "19", Tax: "3.074865", Rounding: "0.001635", Total: "19.26", Note: "no price", CreatedAt: ago(0)}
	for _, c := range change {
		c(&i)
	}
	return i
}

func TestInvoicesAndExports(t *testing.T) {
	list := wire.List[wire.Invoice]{Items: []wire.Invoice{anInvoice(func(i *wire.Invoice) { i.Lines = nil })}}
	draft := anInvoice(func(i *wire.Invoice) { i.ID, i.Number, i.Draft, i.TaxPercent, i.Note = "", "", true, "", "" })
	one := func(b *bench) { b.on("GET /v1/invoices", list).on("GET /v1/invoices/"+invoiceID, anInvoice()) }
	runGolden(t, []golden{
		{"invoice-create", "--tenant acme invoice create 2026-10", func(b *bench) { b.on("POST /v1/invoices", status{201, anInvoice()}) }},
		{"invoice-create-nobody", "invoice create 2026-10", nil},
		{"invoice-create-early", "--tenant acme invoice create 2026-11", func(b *bench) {
			b.on("POST /v1/invoices", problem{Status: 409, Code: "conflict", Detail: "The month 2026-11 is not over."})
		}},
		{"invoice-list", "invoice list --month 2026-10", one},
		{"invoice-show", "invoice show 2026-10", one},
		{"invoice-show-json", "invoice show " + invoiceID + " -o json", one},
		{"invoice-show-draft", "--tenant acme invoice show 2026-11", func(b *bench) {
			b.on("GET /v1/invoices", wire.List[wire.Invoice]{Items: []wire.Invoice{}}).on("GET /v1/invoices/draft", draft)
		}},
		{"invoice-draft", "--tenant acme invoice draft 2026-11", func(b *bench) { b.on("GET /v1/invoices/draft", draft) }},
		{"invoice-draft-two", "invoice draft --csv a --html b", nil},
		{"invoice-show-two", "invoice show 2026-10", func(b *bench) {
			b.on("GET /v1/invoices", wire.List[wire.Invoice]{Items: append(list.Items, list.Items...)})
		}},
		{"invoice-csv", "invoice show 2026-10 --csv -", func(b *bench) {
			b.on("GET /v1/invoices", list).on("GET /v1/invoices/"+invoiceID, raw("invoice,cost\n"))
		}},
		{"invoice-both", "invoice show --csv - --html -", nil},
		{"export-focus", "--tenant acme export focus --month 2026-10", func(b *bench) { b.on("GET /v1/export/focus", raw("BilledCost\n1\n")) }},
		{"export-usage", "export usage --month 2026-10 --by hour", func(b *bench) { b.on("GET /v1/usage", raw("key,name,meter,quantity,unit\n")) }},
		{"export-cost", "export cost --month 2026-10 --by hour", func(b *bench) { b.on("GET /v1/cost", raw("key,cost\n")) }},
		{"export-sink", "export sink", func(b *bench) {
			b.on("GET /v1/export/sink", wire.UsageSink{Configured: true, URL: "https://billing.example/events", Sent: 48210, Pending: 3, LagSeconds: 640, OldestHour: ago(0),
				Problem: &wire.Problem{Code: "url_failed", Message: "The receiver of usage answered 503; it is asked again.", Since: ago(0), Attempts: 9}})
		}},
		{"export-sink-none", "export sink", func(b *bench) { b.on("GET /v1/export/sink", wire.UsageSink{}) }},
	})
}

func TestAnInvoiceIsWrittenToAFile(t *testing.T) {
	b := newBench(t)
	b.on("GET /v1/invoices/"+invoiceID, raw("<!doctype html>"))
	path := filepath.Join(t.TempDir(), "invoice.html")
	if code := b.run("invoice", "show", invoiceID, "--html", path); code != 0 {
		t.Fatalf("exit %d", code)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "<!doctype html>" {
		t.Errorf("%q, %v", got, err)
	}
	if code := b.run("invoice", "show", invoiceID, "--html", path); code == 0 {
		t.Error("a file that was there is written over")
	}
	if !strings.Contains(strings.Join(b.asked, "\n"), "format=html") {
		t.Errorf("asked %v", b.asked)
	}
}
