package api_test

import (
	"context"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// invoiced is an empty invoice of a tenant of last September, whose end is closed
// for that.
func (h *house) invoiced(tenantID string) cloud.Invoice {
	h.t.Helper()
	ctx := context.Background()
	september := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	h.madeBefore(tenantID, september.AddDate(-1, 0, 0))
	if err := h.db.CloseHour(ctx, h.store.now, september.AddDate(0, 1, 0).Add(-time.Hour), meter.Hour); err != nil {
		h.t.Fatal(err)
	}
	i, err := h.db.CreateInvoice(ctx, operator, h.store.now, cloud.NewInvoice{ID: uuid.NewString(), TenantID: tenantID, Month: september}, meter.Invoice)
	if err != nil {
		h.t.Fatal(err)
	}
	return i
}

// madeBefore has a tenant be there since a moment that is past.
func (h *house) madeBefore(tenantID string, at time.Time) {
	h.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+h.path+"?_busy_timeout=10000")
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE tenant SET created_at = ? WHERE id = ?`, at.UnixMilli(), tenantID); err != nil {
		h.t.Fatal(err)
	}
}

// closeHours closes what is over, as lodged does.
func (h *house) closeHours() {
	h.t.Helper()
	ctx := context.Background()
	if err := h.db.Heartbeat(ctx, hostID, h.store.now); err != nil {
		h.t.Fatal(err)
	}
	c := meter.Closer{Books: h.db, Now: func() time.Time { return h.store.now }, Log: slog.New(slog.DiscardHandler)}
	if err := c.Close(ctx); err != nil {
		h.t.Fatal(err)
	}
}

// billed is a house at noon of December 1, whose November is closed: a guest ran
// from 20:00 on November 29 for half an hour, and from 22:00 on the 30th until it
// is stopped at 02:00 on December 1.
func billed(t *testing.T, change ...func(*api.Options)) (h *house, in wire.Instance) {
	t.Helper()
	h = newHouse(t, append([]func(*api.Options){func(o *api.Options) {
		o.Terms = cloud.InvoiceTerms{Prefix: "INV-", Issuer: "Acme Hosting\n1 Main Street"}
	}}, change...)...)
	h.store.now = time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	for _, body := range []string{
		`{"meter":"vcpu","unit_price":"0.0123","currency":"EUR","cap_hours":2}`,
		`{"meter":"memory","unit_price":"0.00501","minimum_seconds":3600}`,
		`{"meter":"disk","unit_price":"0.0001"}`,
	} {
		h.do("POST", "/v1/prices", body).want(201)
	}
	h.do("POST", "/v1/discounts", `{"tenant":"default","meter":"memory","percent":"12.5"}`).want(201)
	in = h.create(`{"name":"web1","size":"2 vCPU, 4GB","labels":{"env":"prod"}}`)
	h.sees(in.ID)
	h.store.now = h.store.now.Add(30*time.Minute + 7*time.Millisecond)
	h.stopped(in.ID)
	h.store.now = time.Date(2026, 11, 30, 22, 0, 0, 0, time.UTC)
	h.sees(in.ID)
	h.store.now = time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	h.stopped(in.ID)
	h.store.now = time.Date(2026, 12, 1, 12, 5, 0, 0, time.UTC)
	h.closeHours()
	return h, in
}

// stopped records an instance as stopped.
func (h *house) stopped(id string) {
	h.t.Helper()
	i, err := h.db.Instance(context.Background(), operator, id)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.RecordInstance(context.Background(), cloud.InstanceRecord{
		ID: i.ID, Generation: i.Generation, State: cloud.StateStopped, ObservedGeneration: i.Generation, ObservedBoots: i.Boots, RootSeen: true,
		Readings: cloud.Readings(cloud.StateStopped, cloud.Size{VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, DiskGiB: i.DiskGiB}, true), At: h.store.now, Evidence: cloud.EvidenceSeen,
	}); err != nil {
		h.t.Fatal(err)
	}
}

func rowsOf(t testing.TB, a *answer) []map[string]string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("%v: %s", err, a.body)
	}
	var out []map[string]string
	for _, row := range all[1:] {
		m := map[string]string{}
		for i, name := range all[0] {
			m[name] = row[i]
		}
		out = append(out, m)
	}
	return out
}

func sumRows(t testing.TB, rows []map[string]string, column string, keep func(map[string]string) bool) string {
	t.Helper()
	sum := decimal.Zero
	for _, r := range rows {
		if keep != nil && !keep(r) {
			continue
		}
		d, err := decimal.NewFromString(r[column])
		if err != nil {
			t.Fatalf("%s of %v: %v", column, r, err)
		}
		sum = sum.Add(d)
	}
	return sum.String()
}

func TestAnInvoiceIsTheCostOfItsMonthRoundedOnce(t *testing.T) {
	h, in := billed(t)
	cost := decoded[wire.Cost](h.do("GET", "/v1/cost?from=2026-11&to=2026-12", "").want(200))
	draft := decoded[wire.Invoice](h.do("GET", "/v1/invoices/draft?tenant=default&month=2026-11", "").want(200))
	a := h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-11"}`).want(201)
	i := decoded[wire.Invoice](a)
	if i.Subtotal != cost.Cost || draft.Total != i.Total || !draft.Draft || i.Draft || i.Number != "INV-000001" || i.Note != "no price" || i.TaxPercent != "" {
		t.Errorf("cost %s, draft %+v, invoice %+v", cost.Cost, draft, i)
	}
	if whole := decimal.RequireFromString(i.Total); !whole.Equal(decimal.RequireFromString(cost.Cost).RoundBank(2)) {
		t.Errorf("total %s of %s", i.Total, cost.Cost)
	}
	kinds := map[string]int{}
	for _, l := range i.Lines {
		kinds[l.Kind]++
		if l.ResourceID != in.ID || l.Correction || l.Month != "2026-11" || l.Unit == "" {
			t.Errorf("line %+v", l)
		}
	}
	if kinds["usage"] < 3 || kinds["minimum"] != 1 || kinds["beyond_cap"] != 1 {
		t.Errorf("lines of %v", kinds)
	}
	path := a.Header.Get("Location")
	if got := h.do("GET", path, "").want(200); string(got.body) != string(a.body) {
		t.Errorf("it is %s, and was %s", got.body, a.body)
	}
	rows := rowsOf(t, h.do("GET", path+"?format=csv", "").want(200))
	if sum := sumRows(t, rows, "cost", nil); !decimal.RequireFromString(sum).Equal(decimal.RequireFromString(i.Total)) {
		t.Errorf("the rows add up to %s and the total is %s", sum, i.Total)
	}
	list := decoded[wire.List[wire.Invoice]](h.do("GET", "/v1/invoices?month=2026-11", "").want(200))
	if len(list.Items) != 1 || list.Items[0].Lines != nil || list.Items[0].Total != i.Total {
		t.Errorf("list %+v", list)
	}
	h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-11"}`).wantFailure(409, cloud.CodeConflict)
	h.do("GET", "/v1/invoices/draft?tenant=default&month=2026-11", "").wantFailure(409, cloud.CodeConflict)
	if f := h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-12"}`).failure(); f.Code != "conflict" || !strings.Contains(f.Detail, "hours are closed until 2026-12-01T12:00:00Z") {
		t.Errorf("of a month that is not over: %+v", f)
	}
	v := decoded[wire.UsageVerification](h.do("GET", "/v1/usage/verify", "").want(200))
	if !v.OK {
		t.Errorf("the ledger does not verify: %+v", v.Findings)
	}
}

func TestAnInvoiceIsMadeOnceForAKey(t *testing.T) {
	h, _ := billed(t)
	one := h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-11"}`, "Idempotency-Key", "november").want(201)
	two := h.do("POST", "/v1/invoices", `{"tenant":"default","month":"2026-11"}`, "Idempotency-Key", "november").want(201)
	if string(one.body) != string(two.body) || two.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %s", two.body)
	}
}

func TestBadInvoicesAreRefused(t *testing.T) {
	h, _ := billed(t)
	for _, body := range []string{`{}`, `{"tenant":"default"}`, `{"tenant":"default","month":"november"}`, `{"tenant":"default","month":"2026-13"}`, `{"tenant":"","month":"2026-11"}`, `{"tenant":"default","month":"2027-01"}`} {
		h.do("POST", "/v1/invoices", body).wantFailure(400, cloud.CodeInvalid)
	}
	h.do("POST", "/v1/invoices", `{"tenant":"nobody","month":"2026-11"}`).wantFailure(404, cloud.CodeNotFound)
	for _, query := range []string{"month=x", "tenant=default&format=pdf", "tenant=default&month=2027-05", ""} {
		h.do("GET", "/v1/invoices/draft?"+query, "").wantFailure(400, cloud.CodeInvalid)
	}
	h.do("GET", "/v1/invoices?month=2026", "").wantFailure(400, cloud.CodeInvalid)
	h.do("GET", "/v1/invoices/"+nobodysID, "").wantFailure(404, cloud.CodeNotFound)
	for _, query := range []string{"version=1.4", "month=2026-11&from=2026-11", "from=2026-11-05T12:30:00Z", "from=2026-12&to=2026-11", "month=2026"} {
		h.do("GET", "/v1/export/focus?"+query, "").wantFailure(400, cloud.CodeInvalid)
	}
	h.do("GET", "/v1/cost?format=html", "").wantFailure(400, cloud.CodeInvalid)
	free := newHouse(t)
	free.do("GET", "/v1/invoices/draft?tenant=default", "").wantFailure(409, cloud.CodeConflict)
	free.do("GET", "/v1/export/focus", "").wantFailure(409, cloud.CodeConflict)
}

func TestCostsAsCSV(t *testing.T) {
	h, _ := billed(t)
	for _, by := range []string{"hour", "day", "meter", "instance"} {
		cost := decoded[wire.Cost](h.do("GET", "/v1/cost?from=2026-11-05&to=2026-12-01&by="+by, "").want(200))
		a := h.do("GET", "/v1/cost?from=2026-11-05&to=2026-12-01&by="+by, "", "Accept", "text/csv").want(200)
		if sum := sumRows(t, rowsOf(t, a), "cost", nil); sum != cost.Cost || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") {
			t.Errorf("by %s: rows %s, cost %s, %s", by, sum, cost.Cost, a.Header.Get("Content-Type"))
		}
	}
	if a := h.do("GET", "/v1/cost", "", "Accept", "text/csv;q=0, application/json").want(http.StatusOK); a.Header.Get("Content-Type") != "application/json" {
		t.Error("CSV for who does not want it")
	}
}

// chromium is a real browser, or the test is left out with the reason.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("needs a browser: apt-get install chromium")
	return ""
}

// A real browser prints the page on A4: several pages of many lines, with every
// column on the paper and nothing to complain of.
func TestTheInvoiceOnPaper(t *testing.T) {
	browser := chromium(t)
	i := wire.Invoice{ID: nobodysID, Number: "INV-000007", TenantID: nobodysID, Tenant: "acme", Month: "2026-11", Currency: "EUR", Minor: 2, Issuer: "Acme Hosting\n1 Main Street",
		Subtotal: "1234567.123456789012345678901", Tax: "234567.75345678", TaxPercent: "19", Rounding: "-0.003", Total: "1469134.88"}
	for n := range 120 {
		i.Lines = append(i.Lines, wire.InvoiceLine{Month: "2026-11", Kind: "usage", ResourceID: nobodysID, Resource: fmt.Sprintf("a-name-as-long-as-they-may-be-%032d", n), Slot: "disk:root", Meter: "floating_ip",
			Unit: "vCPU-h", PriceID: nobodysID, DiscountID: nobodysID, Quantity: "1234567.123456789", UnitPrice: "123456789.123456789012", DiscountPercent: "12.3456", Cost: "152415787532388.367501905199875"})
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/measured" { // the page without its policy, and with a script that measures it
			rec := httptest.NewRecorder()
			if err := api.ReplyInvoicePage(rec, i); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, rec.Body.String()+`<script>
				let wide = document.documentElement.scrollWidth > document.documentElement.clientWidth ? 1 : 0
				const cells = document.querySelectorAll("td, th")
				for (const c of cells) if (c.scrollWidth > c.clientWidth + 1) wide++
				document.title = "measured " + cells.length + " cells, too wide: " + wide
			</script>`)
			return
		}
		if err := api.ReplyInvoicePage(w, i); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	run := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr", "--v=0"}, args...)
		var out, complaints strings.Builder
		cmd := exec.CommandContext(ctx, browser, args...)
		cmd.Stdout, cmd.Stderr = &out, &complaints
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, complaints.String())
		}
		for _, line := range strings.Split(complaints.String(), "\n") {
			if strings.Contains(line, "CONSOLE") && !strings.Contains(line, "source: chrome://") {
				t.Errorf("the browser says: %s", line)
			}
		}
		return out.String()
	}
	paper := filepath.Join(t.TempDir(), "invoice.pdf")
	run("--no-pdf-header-footer", "--print-to-pdf="+paper, srv.URL)
	pdf, err := os.ReadFile(paper)
	if err != nil {
		t.Fatal(err)
	}
	pages := regexp.MustCompile(`/Type */Page[^s]`).FindAll(pdf, -1)
	boxes := regexp.MustCompile(`/MediaBox *\[([^\]]*)\]`).FindAllStringSubmatch(string(pdf), -1)
	if len(pages) < 3 || len(boxes) == 0 {
		t.Fatalf("%d pages, boxes %v", len(pages), boxes)
	}
	for _, b := range boxes {
		f := strings.Fields(b[1])
		if len(f) != 4 || !strings.HasPrefix(f[2], "59") || !strings.HasPrefix(f[3], "84") {
			t.Errorf("a page is no A4: %s", b[1])
		}
	}
	if keep := os.Getenv("LODGE_KEEP_SHOTS"); keep != "" {
		if err := os.WriteFile(filepath.Join(keep, "invoice.pdf"), pdf, 0o644); err != nil {
			t.Error(err)
		}
	}
	if text, err := exec.LookPath("pdftotext"); err == nil {
		out, err := exec.Command(text, "-layout", paper, "-").Output()
		if err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(string(out)), "")
		if n := strings.Count(flat, "1524157875"); n != len(i.Lines) {
			t.Errorf("the cost is on the paper %d times, of %d", n, len(i.Lines))
		}
	}
	// At the width of the paper, less its margins, nothing is wider than the page.
	dom := run("--window-size=680,960", "--dump-dom", srv.URL+"/measured")
	if !strings.Contains(dom, "<title>measured 734 cells, too wide: 0</title>") || strings.Contains(dom, "%!") || strings.Contains(dom, "ZgotmplZ") {
		t.Errorf("the page is not whole: %.600s", dom)
	}
}

func TestTheInvoicePageNeedsNothingElse(t *testing.T) {
	h, _ := billed(t)
	a := h.do("GET", "/v1/invoices/draft?tenant=default&month=2026-11", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8").want(200)
	page, policy := string(a.body), a.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, not := range []string{"<script", " style=", " src=", " href=", "@import", "url(", "ZgotmplZ", "&lt;nil"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %s", not)
		}
	}
	for _, want := range []string{"This is a draft", "Acme Hosting", "Tax is left out", "web1", "beyond the monthly cap", "up to the minimum", "Head of the usage ledger"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
