package daemon

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"lodge/api/wire"
)

// A whole lodged stops what runs once the limit is reached and not before, tells a
// webhook, and starts it again when there is more.
func TestABudgetStopsInTime(t *testing.T) {
	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer hook.Close()
	s := start(t, t.TempDir(), func(c *Config) { c.WebhookAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	c := s.operatorClient()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// 2 vCPUs cost 2 EUR a second.
	_, err := c.CreatePrice(ctx, wire.CreatePrice{Meter: "vcpu", UnitPrice: "3600", Currency: "EUR"})
	must(err)
	in := s.running(c, "web1")
	h, err := c.CreateWebhook(ctx, wire.CreateWebhook{Name: "chat", URL: hook.URL})
	must(err)
	probe, err := c.CreateBudget(ctx, wire.CreateBudget{Name: "probe", Amount: "100000", Thresholds: []wire.BudgetThreshold{{Percent: 100, On: "actual", Action: "notify"}}})
	must(err)
	probe, err = c.Budget(ctx, probe.ID)
	must(err)
	spent, err := decimal.NewFromString(probe.Status.Spent)
	must(err)
	amount := spent.Add(decimal.NewFromInt(int64(4 * in.VCPUs)))
	b, err := c.CreateBudget(ctx, wire.CreateBudget{Name: "dev", Amount: amount.String(), Webhook: h.ID, Thresholds: []wire.BudgetThreshold{{Percent: 100, On: "actual", Action: "stop"}}})
	must(err)
	in, err = c.WaitInstance(ctx, in.ID, func(i wire.Instance) bool { return i.Settled && i.State == "stopped" }, nil)
	must(err)
	if in.StoppedBy == nil || in.StoppedBy.Kind != "budget" || in.StoppedBy.ID != b.ID {
		t.Errorf("stopped by %+v", in.StoppedBy)
	}
	b, err = c.Budget(ctx, b.ID)
	must(err)
	if len(b.Crossings) != 1 {
		t.Fatalf("crossings %+v", b.Crossings)
	}
	then, err := decimal.NewFromString(b.Crossings[0].Spent)
	must(err)
	// The millisecond is computed; how late a busy machine wakes up is not.
	if late := amount.Add(decimal.NewFromInt(int64(2 * in.VCPUs))); then.LessThan(amount) || then.GreaterThan(late) {
		t.Errorf("%s of %s were gone when it acted, want no less and at most %s", then, amount, late)
	}
	final, err := decimal.NewFromString(b.Status.Spent)
	must(err)
	t.Logf("%s of %s when it acted, %s when the guest had ended", then, amount, final)
	if x := b.Crossings[0]; !x.StoppedAt.Equal(x.At.Time) {
		t.Errorf("crossed at %v, and the stop was wished at %v", x.At, x.StoppedAt)
	}
	select {
	case body := <-told:
		if !strings.Contains(body, `"lodge.budget.crossed"`) {
			t.Errorf("told %s", body)
		}
	case <-ctx.Done():
		t.Fatal("the webhook was told nothing")
	}
	if _, err := c.CreateInstance(ctx, wire.CreateInstance{Name: "web2"}); err == nil || !strings.Contains(err.Error(), "dev") {
		t.Errorf("a create behind the crossing: %v", err)
	}
	more := "1000000"
	_, err = c.UpdateBudget(ctx, b.ID, wire.UpdateBudget{Amount: &more})
	must(err)
	in, err = c.WaitInstance(ctx, in.ID, func(i wire.Instance) bool { return i.Settled && i.State == "running" }, nil)
	must(err)
	if in.StoppedBy != nil {
		t.Errorf("still stopped by %+v", in.StoppedBy)
	}
}
