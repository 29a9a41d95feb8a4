package api

import (
	"net/http"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

// ofTenant is the tenant that a list without other parameters is narrowed to.
func (s *server) ofTenant(r *http.Request, c cloud.Caller) (string, error) {
	q := parseQuery(r, "tenant")
	if q.err != nil {
		return "", q.err
	}
	return s.narrow(r, c, q.Get("tenant"))
}

// makesIn is the tenant that the body of a request or its query names, the
// caller's own where neither does.
func (s *server) makesIn(w http.ResponseWriter, r *http.Request, c cloud.Caller, named string) (string, error) {
	q := parseQuery(r, "tenant")
	if q.err != nil {
		return "", q.err
	}
	return s.tenantFor(w, r, c, q.Get("tenant"), named)
}

func (s *server) listBudgets(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	tenantID, err := s.ofTenant(r, c)
	if err != nil {
		return err
	}
	items, err := s.Budgets.Budgets(r.Context(), c, tenantID)
	if err != nil {
		return err
	}
	return replyList(w, items, "", wireBudget)
}

func (s *server) getBudget(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindBudget)
	if err != nil {
		return err
	}
	b, err := s.Budgets.Budget(r.Context(), c, id)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	u, err := s.Budgets.BudgetUsage(r.Context(), b, now)
	if err != nil {
		return err
	}
	currency, err := s.Prices.Currency(r.Context())
	if err != nil {
		return err
	}
	state := meter.JudgeBudget(b, u, now)
	out := wireBudget(b)
	out.Status = &wire.BudgetStatus{
		At: wireTime(now), From: wireTime(state.From), To: wireTime(state.To), Currency: currency.Code,
		Spent: state.Spent, Forecast: state.Forecast, NextAt: wireTime(state.Next),
	}
	if !state.Next.IsZero() {
		out.Status.NextPercent = b.Thresholds[state.NextThreshold].Percent
	}
	etag(w, b.Tag())
	return reply(w, http.StatusOK, out)
}

func (s *server) createBudget(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	var body wire.CreateBudget
	if err := decode(w, r, &body); err != nil {
		return err
	}
	b := cloud.Budget{
		ID: s.NewID(), Name: body.Name, Selector: body.Label, Amount: body.Amount, Period: cloud.BudgetPeriod(body.Period),
		Thresholds: thresholds(body.Thresholds), WebhookID: lowerID(body.Webhook),
	}
	if b.Period == "" {
		b.Period = cloud.BudgetMonth
	}
	var err error
	if b.TenantID, err = s.makesIn(w, r, c, body.Tenant); err != nil {
		return err
	}
	if b, err = s.Budgets.CreateBudget(r.Context(), c, s.Now(), b, meter.JudgeBudget); err != nil {
		return err
	}
	location(w, "/v1/budgets/"+b.ID)
	return reply(w, http.StatusCreated, wireBudget(b))
}

// maxGrace keeps a number of seconds from running over as a duration.
const maxGrace = int64(cloud.MaxBudgetGrace/time.Second) + 1

func thresholds(in []wire.BudgetThreshold) []cloud.BudgetThreshold {
	out := make([]cloud.BudgetThreshold, 0, len(in))
	for _, t := range in {
		grace := max(-1, min(maxGrace, t.GraceSeconds))
		out = append(out, cloud.BudgetThreshold{
			Percent: t.Percent, On: cloud.BudgetBasis(t.On), Action: cloud.BudgetAction(t.Action), Grace: time.Duration(grace) * time.Second,
		})
	}
	return out
}

func (s *server) updateBudget(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindBudget)
	if err != nil {
		return err
	}
	var body wire.UpdateBudget
	nulls, err := decodePatch(w, r, &body, "label", "webhook")
	if err != nil {
		return err
	}
	for _, name := range nulls {
		if name == "label" {
			body.Label = new(string)
		} else {
			body.Webhook = new(string)
		}
	}
	ch := cloud.BudgetChange{Name: body.Name, Selector: body.Label, Amount: body.Amount, WebhookID: body.Webhook}
	if body.Thresholds != nil {
		ch.Thresholds = thresholds(body.Thresholds)
	}
	b, err := s.Budgets.UpdateBudget(r.Context(), c, s.Now(), id, ch, meter.JudgeBudget)
	if err != nil {
		return err
	}
	etag(w, b.Tag())
	return reply(w, http.StatusOK, wireBudget(b))
}

func (s *server) deleteBudget(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindBudget)
	if err != nil {
		return err
	}
	b, left, err := s.Budgets.DeleteBudget(r.Context(), c, s.Now(), id)
	switch {
	case err != nil:
		return err
	case left: // what it has stopped is too much to be started at once
		etag(w, b.Tag())
		return reply(w, http.StatusAccepted, wireBudget(b))
	}
	return noContent(w)
}

func wireBudget(b cloud.Budget) wire.Budget {
	out := wire.Budget{
		ID: b.ID, TenantID: b.TenantID, Name: b.Name, Label: b.Selector, Amount: b.Amount, Period: string(b.Period),
		Thresholds: make([]wire.BudgetThreshold, 0, len(b.Thresholds)), WebhookID: b.WebhookID, ByOperator: b.ByOperator,
		CreatedAt: wireTime(b.CreatedAt), UpdatedAt: wireTime(b.UpdatedAt), DeletedAt: wireTime(b.DeletedAt), Revision: b.Revision, Holds: b.Holds,
		Crossings: make([]wire.BudgetCrossing, 0, len(b.Crossings)),
	}
	for _, t := range b.Thresholds {
		out.Thresholds = append(out.Thresholds, wireThreshold(t))
	}
	for _, x := range b.Crossings {
		out.Crossings = append(out.Crossings, wire.BudgetCrossing{
			BudgetThreshold: wireThreshold(x.Threshold), At: wireTime(x.At), Until: wireTime(x.Until), Spent: x.Spent,
			StopAt: wireTime(x.StopAt), StoppedAt: wireTime(x.StoppedAt),
		})
	}
	return out
}

func wireThreshold(t cloud.BudgetThreshold) wire.BudgetThreshold {
	return wire.BudgetThreshold{Percent: t.Percent, On: string(t.On), Action: string(t.Action), GraceSeconds: int64(t.Grace / time.Second)}
}
