package api_test

import (
	"context"
	"time"

	"lodge/cloud"
)

// The fake store has nothing that acts by itself.

func (s *fakeStore) Budgets(context.Context, cloud.Caller, string) ([]cloud.Budget, error) {
	return nil, nil
}

func (s *fakeStore) Budget(_ context.Context, _ cloud.Caller, id string) (cloud.Budget, error) {
	return cloud.Budget{}, cloud.Errorf(cloud.CodeNotFound, "There is no budget %s.", id)
}

func (s *fakeStore) BudgetUsage(context.Context, cloud.Budget, time.Time) (cloud.BudgetUsage, error) {
	return cloud.BudgetUsage{}, nil
}

func (s *fakeStore) CreateBudget(_ context.Context, _ cloud.Caller, now time.Time, b cloud.Budget, _ cloud.JudgeBudget) (cloud.Budget, error) {
	b.CreatedAt, b.UpdatedAt = now, now
	return b.Checked()
}

func (s *fakeStore) UpdateBudget(ctx context.Context, c cloud.Caller, _ time.Time, id string, _ cloud.BudgetChange, _ cloud.JudgeBudget) (cloud.Budget, error) {
	return s.Budget(ctx, c, id)
}

func (s *fakeStore) DeleteBudget(ctx context.Context, c cloud.Caller, _ time.Time, id string) (b cloud.Budget, left bool, err error) {
	b, err = s.Budget(ctx, c, id)
	return b, false, err
}

func (s *fakeStore) Webhooks(context.Context, cloud.Caller, string) ([]cloud.Webhook, error) {
	return nil, nil
}

func (s *fakeStore) Webhook(_ context.Context, _ cloud.Caller, id string) (cloud.Webhook, error) {
	return cloud.Webhook{}, cloud.Errorf(cloud.CodeNotFound, "There is no webhook %s.", id)
}

func (s *fakeStore) CreateWebhook(_ context.Context, _ cloud.Caller, now time.Time, n cloud.IssuedWebhook) (cloud.IssuedWebhook, error) {
	n.CreatedAt, n.UpdatedAt = now, now
	return n, n.Checked()
}

func (s *fakeStore) UpdateWebhook(ctx context.Context, c cloud.Caller, _ time.Time, id string, _ cloud.WebhookChange) (cloud.Webhook, error) {
	return s.Webhook(ctx, c, id)
}

func (s *fakeStore) RotateWebhook(ctx context.Context, c cloud.Caller, _ time.Time, id string, _ cloud.NewSecret) (n cloud.IssuedWebhook, err error) {
	n.Webhook, err = s.Webhook(ctx, c, id)
	return n, err
}

func (s *fakeStore) DeleteWebhook(ctx context.Context, c cloud.Caller, _ time.Time, id string) error {
	_, err := s.Webhook(ctx, c, id)
	return err
}

func (s *fakeStore) Schedules(context.Context, cloud.Caller, string) ([]cloud.Schedule, error) {
	return nil, nil
}

func (s *fakeStore) Schedule(_ context.Context, _ cloud.Caller, id string) (cloud.Schedule, error) {
	return cloud.Schedule{}, cloud.Errorf(cloud.CodeNotFound, "There is no schedule %s.", id)
}

func (s *fakeStore) CreateSchedule(_ context.Context, _ cloud.Caller, now time.Time, sc cloud.Schedule) (cloud.Schedule, error) {
	sc.CreatedAt, sc.UpdatedAt = now, now
	return sc.Checked()
}

func (s *fakeStore) UpdateSchedule(ctx context.Context, c cloud.Caller, _ time.Time, id string, _ cloud.ScheduleChange, _ func(cloud.Schedule) error) (cloud.Schedule, error) {
	return s.Schedule(ctx, c, id)
}

func (s *fakeStore) DeleteSchedule(ctx context.Context, c cloud.Caller, _ time.Time, id string) (sc cloud.Schedule, left bool, err error) {
	sc, err = s.Schedule(ctx, c, id)
	return sc, false, err
}

func (s *fakeStore) Rests(context.Context, string, time.Time) ([]cloud.Rest, error) { return nil, nil }
