package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"lodge/api/wire"
)

const budgetID = "44444444-4444-4444-8444-444444444442"

func TestBudgetsWebhooksAndSchedules(t *testing.T) {
	at := func(s string) wire.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		return wire.Time{Time: v}
	}
	notify := wire.BudgetThreshold{Percent: 80, On: "forecast", Action: "notify"}
	stop := wire.BudgetThreshold{Percent: 100, On: "actual", Action: "stop", GraceSeconds: 300}
	dev := wire.Budget{ID: budgetID, TenantID: acmeID, Name: "dev", Label: "env=dev", Amount: "50", Period: "month", Thresholds: []wire.BudgetThreshold{notify, stop},
		Crossings: []wire.BudgetCrossing{{BudgetThreshold: stop, At: at("2026-11-05T12:00:00Z"), Spent: "50", StopAt: at("2026-11-05T12:05:00Z")}}, ByOperator: true, WebhookID: priceID}
	full := dev
	full.Status = &wire.BudgetStatus{At: at("2026-11-05T12:00:00Z"), From: at("2026-11-01T00:00:00Z"), To: at("2026-12-01T00:00:00Z"), Currency: "EUR", Spent: "50", Forecast: "61.2",
		NextAt: at("2026-11-25T17:21:36Z"), NextPercent: 120}
	budgets := wire.List[wire.Budget]{Items: []wire.Budget{dev, {ID: priceID, Name: "all", Amount: "1000", Period: "day", Thresholds: []wire.BudgetThreshold{{Percent: 100, On: "actual", Action: "refuse"}}}}}
	chat := wire.Webhook{ID: priceID, Name: "chat", URL: "https://hooks.example.com/lodge"}
	hooks := wire.List[wire.Webhook]{Items: []wire.Webhook{chat}}
	told, made := chat, chat
	made.Secret = "whsec_c2VjcmV0"
	told.Deliveries = []wire.Delivery{
		{Type: "lodge.budget.crossed", CreatedAt: at("2026-11-05T12:00:00Z"), Attempts: 2, LastStatus: 500, LastError: "The webhook answered 500 and not 2xx.", NextAt: at("2026-11-05T12:00:15Z")},
		{Type: "lodge.budget.lifted", CreatedAt: at("2026-11-04T12:00:00Z"), Attempts: 1, LastStatus: 204, DeliveredAt: at("2026-11-04T12:00:01Z")},
		{Type: "lodge.budget.crossed", CreatedAt: at("2026-11-01T12:00:00Z"), Attempts: 80, LastError: "The URL's host did not answer in time.", GivenUpAt: at("2026-11-04T12:00:01Z")},
	}
	nights := wire.Schedule{ID: budgetID, Name: "nights", Label: "env=dev", Start: "0 7 * * 1-5", Stop: "0 20 * * 1-5", TimeZone: "Europe/Berlin", Enabled: true, Last: "start", LastAt: at("2026-11-05T06:00:00Z")}
	next := nights
	next.Status = &wire.ScheduleStatus{Next: "stop", NextAt: at("2026-11-05T19:00:00Z"), Saving: wire.ScheduleSaving{Currency: "EUR", From: at("2026-11-01T00:00:00Z"), Cost: "2.75"}}
	schedules := wire.List[wire.Schedule]{Items: []wire.Schedule{nights}}
	pager, rotated, leaving, gone := chat, made, nights, dev
	pager.Name = "pager"
	rotated.OldSecretUntil = at("2026-11-05T13:00:00Z")
	leaving.DeletedAt, leaving.Holds, leaving.Enabled = at("2026-11-05T12:00:00Z"), 1500, false
	gone.DeletedAt, gone.Holds = at("2026-11-05T12:00:00Z"), 1500
	runGolden(t, []golden{
		{"budget-list", "budget list", func(b *bench) { b.on("GET /v1/budgets", budgets) }},
		{"budget-show", "budget show dev", func(b *bench) {
			b.on("GET /v1/budgets", budgets).on("GET /v1/budgets/"+budgetID, full).on("GET /v1/webhooks/"+priceID, chat)
		}},
		{"budget-create", "--tenant acme budget create dev 50 -l env=dev --at 80:notify:forecast --at 100%:stop:300s --webhook chat", func(b *bench) {
			b.on("GET /v1/webhooks", hooks).on("POST /v1/budgets", status{201, dev})
		}},
		{"budget-create-bad", "budget create dev 50 --at much", nil},
		{"budget-set", "budget set dev 80 --webhook none", func(b *bench) {
			b.on("GET /v1/budgets", budgets).on("PATCH /v1/budgets/"+budgetID, dev)
		}},
		{"budget-set-everything", "budget set dev --selector none --name all", func(b *bench) {
			b.on("GET /v1/budgets", budgets).on("PATCH /v1/budgets/"+budgetID, full)
		}},
		{"budget-create-dry-run", "budget create dev 50 --dry-run", func(b *bench) {
			b.on("POST /v1/budgets", wire.DryRun{DryRun: true, Action: "budget.create", Budget: &dev, Estimate: wire.Estimate{Quota: []wire.QuotaEstimate{}}})
		}},
		{"budget-delete-dry-run", "budget delete dev --dry-run", func(b *bench) {
			b.on("GET /v1/budgets", budgets).on("DELETE /v1/budgets/"+budgetID, wire.DryRun{DryRun: true, Action: "budget.delete", Budget: &dev, Estimate: wire.Estimate{Quota: []wire.QuotaEstimate{}}})
		}},
		{"schedule-set-name", "schedule set nights --name evenings", func(b *bench) {
			b.on("GET /v1/schedules", schedules).on("PATCH /v1/schedules/"+budgetID, nights)
		}},
		{"budget-set-nothing", "budget set dev", nil},
		{"budget-delete", "budget delete dev", func(b *bench) {
			b.on("GET /v1/budgets", budgets).on("DELETE /v1/budgets/"+budgetID, status{204, nil})
		}},
		{"budget-exceeded", "create web1 --no-ssh-key", func(b *bench) {
			b.on("POST /v1/instances", problem{Status: 409, Code: "budget_exceeded", Detail: "The budget dev (50 in a month) is used up as far as it may be."})
		}},
		{"webhook-list", "webhook list", func(b *bench) { b.on("GET /v1/webhooks", hooks) }},
		{"webhook-show", "webhook show chat", func(b *bench) { b.on("GET /v1/webhooks", hooks).on("GET /v1/webhooks/"+priceID, told) }},
		{"webhook-create", "webhook create chat https://hooks.example.com/lodge", func(b *bench) { b.on("POST /v1/webhooks", status{201, made}) }},
		{"webhook-set", "webhook set chat --url https://hooks.example.com/other", func(b *bench) {
			b.on("GET /v1/webhooks", hooks).on("PATCH /v1/webhooks/"+priceID, chat)
		}},
		{"webhook-set-nothing", "webhook set chat", nil},
		{"webhook-set-dry-run", "webhook set chat --name pager --dry-run", func(b *bench) {
			b.on("GET /v1/webhooks", hooks).on("PATCH /v1/webhooks/"+priceID, wire.DryRun{DryRun: true, Action: "webhook.update", Webhook: &pager, Estimate: wire.Estimate{Quota: []wire.QuotaEstimate{}}})
		}},
		{"webhook-rotate", "webhook rotate chat --overlap 1h", func(b *bench) {
			b.on("GET /v1/webhooks", hooks).on("POST /v1/webhooks/"+priceID+"/secret", rotated)
		}},
		{"webhook-rotate-now", "webhook rotate chat --overlap 0", func(b *bench) {
			b.on("GET /v1/webhooks", hooks).on("POST /v1/webhooks/"+priceID+"/secret", made)
		}},
		{"webhook-rotate-bad", "webhook rotate chat --overlap 1ms", nil},
		{"webhook-delete", "webhook delete chat", func(b *bench) {
			b.on("GET /v1/webhooks", hooks).on("DELETE /v1/webhooks/"+priceID, status{204, nil})
		}},
		{"schedule-list", "schedule list", func(b *bench) { b.on("GET /v1/schedules", schedules) }},
		{"schedule-show", "schedule show nights", func(b *bench) {
			b.on("GET /v1/schedules", schedules).on("GET /v1/schedules/"+budgetID, next)
		}},
		{"schedule-create", "schedule create nights -l env=dev --stop 0~20~*~*~1-5 --start 0~7~*~*~1-5 --time-zone Europe/Berlin", func(b *bench) { b.on("POST /v1/schedules", status{201, nights}) }},
		{"schedule-set", "schedule set nights --enabled=false", func(b *bench) {
			b.on("GET /v1/schedules", schedules).on("PATCH /v1/schedules/"+budgetID, nights)
		}},
		{"schedule-create-dry-run", "schedule create nights -l env=dev --stop 0~20~*~*~1-5 --start 0~7~*~*~1-5 --dry-run", func(b *bench) {
			b.on("POST /v1/schedules", wire.DryRun{DryRun: true, Action: "schedule.create", Schedule: &nights, Estimate: wire.Estimate{Quota: []wire.QuotaEstimate{}}})
		}},
		{"schedule-set-dry-run", "schedule set nights --enabled=false --dry-run", func(b *bench) {
			b.on("GET /v1/schedules", schedules).on("PATCH /v1/schedules/"+budgetID, wire.DryRun{DryRun: true, Action: "schedule.update", Schedule: &leaving, Estimate: wire.Estimate{Quota: []wire.QuotaEstimate{}}})
		}},
		{"schedule-leaving", "schedule list", func(b *bench) { b.on("GET /v1/schedules", wire.List[wire.Schedule]{Items: []wire.Schedule{leaving}}) }},
		{"schedule-delete-many", "schedule delete nights", func(b *bench) {
			b.on("GET /v1/schedules", schedules).on("DELETE /v1/schedules/"+budgetID, status{202, leaving})
		}},
		{"budget-leaving", "budget list", func(b *bench) { b.on("GET /v1/budgets", wire.List[wire.Budget]{Items: []wire.Budget{gone}}) }},
		{"budget-delete-many", "budget delete dev", func(b *bench) {
			b.on("GET /v1/budgets", budgets).on("DELETE /v1/budgets/"+budgetID, status{202, gone})
		}},
		{"schedule-set-nothing", "schedule set nights", nil},
		{"schedule-delete", "schedule delete nights", func(b *bench) {
			b.on("GET /v1/schedules", schedules).on("DELETE /v1/schedules/"+budgetID, status{204, nil})
		}},
		{"show-stopped-by", "show web1", func(b *bench) {
			b.on("GET /v1/budgets/"+budgetID, full)
			b.on("GET /v1/instances", instances(seen("stopped", "", func(i *wire.Instance) { i.StoppedBy = &wire.StoppedBy{Kind: "budget", ID: budgetID} })))
		}},
	})
}

// A webhook whose secret cannot be written is deleted: nobody could ever check its
// messages.
func TestAWebhookWhoseSecretIsNotWritten(t *testing.T) {
	b := newBench(t)
	b.on("POST /v1/webhooks", status{201, wire.Webhook{ID: priceID, Name: "chat", Secret: "whsec_x"}}).on("DELETE /v1/webhooks/"+priceID, status{204, nil})
	b.app.out = full{}
	if code := b.run("webhook", "create", "chat", "https://hooks.example.com/lodge"); code != exitError {
		t.Errorf("exit %d", code)
	}
	if last := b.asked[len(b.asked)-1]; last != "DELETE /v1/webhooks/"+priceID {
		t.Errorf("asked %q", b.asked)
	}
	if !strings.Contains(b.err.String(), "was deleted; make it again") {
		t.Errorf("said %s", b.err.String())
	}
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
