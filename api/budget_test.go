package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/api/wire"
	"lodge/cloud"
)

const aBudget = `{"name":"dev","amount":"10.50","thresholds":[{"percent":80,"on":"forecast","action":"notify"},{"percent":100,"on":"actual","action":"stop","grace_seconds":300}]}`

func TestABudgetOverHTTP(t *testing.T) {
	h, in := priced(t)
	made := h.do("POST", "/v1/budgets", aBudget, "Idempotency-Key", "the-same-again").want(201)
	again := h.do("POST", "/v1/budgets", aBudget, "Idempotency-Key", "the-same-again").want(201)
	if string(made.body) != string(again.body) || made.Header.Get("Location") != again.Header.Get("Location") {
		t.Errorf("%s and %s", made.body, again.body)
	}
	b := decoded[wire.Budget](made)
	// 25.704 are expected, so the forecast is reached at once.
	if b.Amount != "10.5" || b.Period != "month" || len(b.Crossings) != 1 || b.Crossings[0].Spent != "25.704" || !b.ByOperator {
		t.Errorf("got %+v", b)
	}
	path := "/v1/budgets/" + b.ID
	shown := h.do("GET", path, "").want(200)
	got := decoded[wire.Budget](shown)
	// (10.5 - 0.063) / 0.042 hours
	if got.Status == nil || got.Status.Spent != "0.063" || got.Status.Forecast != "25.704" || got.Status.NextPercent != 100 || !got.Status.NextAt.Equal(h.store.now.Truncate(time.Second).Add(248*time.Hour+30*time.Minute)) {
		t.Errorf("status %+v", got.Status)
	}
	tag := shown.Header.Get("ETag")
	if dry := decoded[wire.DryRun](h.do("PATCH", path+"?dry_run=true", `{"amount":"0.01"}`).want(200)); dry.Budget == nil || len(dry.Budget.Crossings) != 2 {
		t.Errorf("dry run: %+v", dry.Budget)
	}
	little := h.do("PATCH", path, `{"amount":"0.01"}`, "If-Match", tag).want(200)
	if b = decoded[wire.Budget](little); len(b.Crossings) != 2 || b.Crossings[1].StopAt.IsZero() && b.Crossings[0].StopAt.IsZero() {
		t.Errorf("after less: %+v", b.Crossings)
	}
	h.do("PATCH", path, `{"amount":"100"}`, "If-Match", tag).wantFailure(412, cloud.CodePrecondition)
	h.do("POST", "/v1/instances", `{"name":"web2"}`).wantFailure(409, cloud.CodeBudget)
	h.do("POST", "/v1/instances?dry_run=true", `{"name":"web2"}`).wantFailure(409, cloud.CodeBudget)
	h.do("PATCH", "/v1/instances/"+in.ID, `{"vcpus":8}`).wantFailure(409, cloud.CodeBudget)
	h.do("PATCH", path, `{"label":"env=prod"}`).want(200)
	h.create(`{"name":"web2"}`)
	h.do("PATCH", path, `{"label":null}`).want(200)
	h.do("POST", "/v1/instances", `{"name":"web3"}`).wantFailure(409, cloud.CodeBudget)
	h.do("DELETE", path, "").want(204)
	h.do("GET", path, "").wantFailure(404, cloud.CodeNotFound)
	h.create(`{"name":"web3"}`)
	for _, body := range []string{
		`{"name":"x","amount":"1","thresholds":[]}`, `{"name":"x","amount":"0","thresholds":[{"percent":1,"on":"actual","action":"notify"}]}`,
		`{"name":"x","amount":"1e3","thresholds":[{"percent":1,"on":"actual","action":"notify"}]}`, `{"name":"x","amount":"1","thresholds":[{"percent":0,"on":"actual","action":"notify"}]}`,
		`{"name":"x","amount":"1","period":"total","thresholds":[{"percent":1,"on":"forecast","action":"notify"}]}`,
		`{"name":"x","amount":"1","thresholds":[{"percent":1,"on":"actual","action":"notify","grace_seconds":1}]}`,
		`{"name":"x","amount":"1","thresholds":[{"percent":1,"on":"actual","action":"stop","grace_seconds":9223372036854775807}]}`,
		`{"name":"x","amount":"1","thresholds":[{"percent":1,"on":"actual","action":"notify"},{"percent":1,"on":"actual","action":"notify"}]}`,
		`{"name":"x","amount":"1","label":"==","thresholds":[{"percent":1,"on":"actual","action":"notify"}]}`,
		`{"name":"x","amount":"1","webhook":"` + nobodysID + `","thresholds":[{"percent":1,"on":"actual","action":"notify"}]}`,
	} {
		h.do("POST", "/v1/budgets", body).wantFailure(400, cloud.CodeInvalid)
	}
}

// The secret of a webhook is shown once, and again only to whoever sends the same
// request with the same key.
func TestTheSecretOfAWebhookIsShownOnce(t *testing.T) {
	h, _ := priced(t)
	key := uuid.NewString()
	const body = `{"name":"chat","url":"https://hooks.example.org/lodge"}`
	made := h.do("POST", "/v1/webhooks", body, "Idempotency-Key", key).want(201)
	again := h.do("POST", "/v1/webhooks", body, "Idempotency-Key", key).want(201)
	w := decoded[wire.Webhook](made)
	if !strings.HasPrefix(w.Secret, "whsec_") || len(w.Secret) < 40 || string(made.body) != string(again.body) {
		t.Errorf("%s and %s", made.body, again.body)
	}
	for _, path := range []string{"/v1/webhooks/" + w.ID, "/v1/webhooks", "/v1/events", "/v1/audit"} {
		if a := h.do("GET", path, "").want(200); strings.Contains(string(a.body), "whsec_") || strings.Contains(string(a.body), w.Secret[6:]) {
			t.Errorf("%s tells the secret", path)
		}
	}
	b := decoded[wire.Budget](h.do("POST", "/v1/budgets", strings.Replace(aBudget, `"name"`, `"webhook":"`+w.ID+`","name"`, 1)).want(201))
	h.do("DELETE", "/v1/webhooks/"+w.ID, "").wantFailure(409, cloud.CodeInUse)
	if got := decoded[wire.Webhook](h.do("GET", "/v1/webhooks/"+w.ID, "").want(200)); len(got.Deliveries) != 1 || got.Deliveries[0].Type != "lodge.budget.crossed" || got.Deliveries[0].NextAt.IsZero() {
		t.Errorf("deliveries %+v", got.Deliveries)
	}
	h.do("PATCH", "/v1/budgets/"+b.ID, `{"webhook":null}`).want(200)
	h.do("DELETE", "/v1/webhooks/"+w.ID, "").want(204)
	for _, url := range []string{"ftp://x.example/", "https://u:p@x.example/", "http://127.0.0.1/", "file:///etc/passwd"} {
		h.do("POST", "/v1/webhooks", `{"name":"bad","url":"`+url+`"}`).wantFailure(400, cloud.CodeURLRefused)
	}
}

func TestAScheduleOverHTTP(t *testing.T) {
	h, _ := priced(t)
	s := decoded[wire.Schedule](h.do("POST", "/v1/schedules", `{"name":"nights","label":"env in (b,a)","start":"0 7 * * 1-5","stop":"0 20 * * 1-5","time_zone":"Europe/Berlin"}`).want(201))
	if s.Label != "env in (a,b)" || !s.Enabled || s.Status != nil {
		t.Errorf("got %+v", s)
	}
	path := "/v1/schedules/" + s.ID
	shown := h.do("GET", path, "").want(200)
	if got := decoded[wire.Schedule](shown); got.Status == nil || got.Status.Next != "stop" || !got.Status.NextAt.Equal(time.Date(2026, 11, 5, 19, 0, 0, 0, time.UTC)) || got.Status.Saving.Cost != "0" || got.Status.Saving.Currency != "EUR" {
		t.Errorf("status %+v", got.Status)
	}
	off := h.do("PATCH", path, `{"enabled":false}`, "If-Match", shown.Header.Get("ETag")).want(200)
	if got := decoded[wire.Schedule](off); got.Enabled || got.Revision != 2 {
		t.Errorf("got %+v", got)
	}
	if got := decoded[wire.Schedule](h.do("GET", path, "").want(200)); got.Status.Next != "" {
		t.Errorf("next of one that is off: %+v", got.Status)
	}
	h.do("PATCH", path, `{"stop":"61 * * * *"}`).wantFailure(400, cloud.CodeInvalid)
	h.do("POST", "/v1/schedules", `{"name":"nights","label":"a=b","start":"0 7 * * *","stop":"0 20 * * *"}`).wantFailure(409, cloud.CodeNameTaken)
	h.do("POST", "/v1/schedules", `{"name":"all","label":"","start":"0 7 * * *","stop":"0 20 * * *"}`).wantFailure(400, cloud.CodeInvalid)
	h.do("DELETE", path, "").want(204)
}
