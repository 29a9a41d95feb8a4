package api_test

import (
	"context"
	"time"

	"lodge/cloud"
)

// The fake store has no book: everything works as before, and costs nothing.

func (s *fakeStore) UsageFacts(context.Context, cloud.Caller, cloud.UsageFilter) ([]cloud.UsageFact, error) {
	return nil, nil
}

func (s *fakeStore) Prices(context.Context, cloud.Caller, cloud.PriceFilter) ([]cloud.Price, error) {
	return nil, nil
}

func (s *fakeStore) PricePage(context.Context, cloud.Caller, cloud.PriceFilter, cloud.Page) ([]cloud.Price, string, error) {
	return nil, "", nil
}

func (s *fakeStore) Price(_ context.Context, _ cloud.Caller, id string) (cloud.Price, error) {
	return cloud.Price{}, cloud.Errorf(cloud.CodeNotFound, "There is no price %s.", id)
}

func (s *fakeStore) CreatePrice(_ context.Context, _ cloud.Caller, now time.Time, p cloud.Price, _ bool) (cloud.Price, error) {
	return p.Checked(now)
}

func (s *fakeStore) EndPrice(ctx context.Context, c cloud.Caller, _ time.Time, id string, _ time.Time) (cloud.Price, error) {
	return s.Price(ctx, c, id)
}

func (s *fakeStore) Currency(context.Context) (cloud.Currency, error) { return cloud.Currency{}, nil }

func (s *fakeStore) Discounts(context.Context, cloud.Caller, cloud.PriceFilter) ([]cloud.Discount, error) {
	return nil, nil
}

func (s *fakeStore) DiscountPage(context.Context, cloud.Caller, cloud.PriceFilter, cloud.Page) ([]cloud.Discount, string, error) {
	return nil, "", nil
}

func (s *fakeStore) Discount(_ context.Context, _ cloud.Caller, id string) (cloud.Discount, error) {
	return cloud.Discount{}, cloud.Errorf(cloud.CodeNotFound, "There is no discount %s.", id)
}

func (s *fakeStore) CreateDiscount(_ context.Context, _ cloud.Caller, now time.Time, d cloud.Discount) (cloud.Discount, error) {
	return d.Checked(now)
}

func (s *fakeStore) EndDiscount(ctx context.Context, c cloud.Caller, _ time.Time, id string, _ time.Time) (cloud.Discount, error) {
	return s.Discount(ctx, c, id)
}
