package api_test

import (
	"context"
	"time"

	"lodge/cloud"
)

// The fake store makes no invoices.

func (s *fakeStore) CreateInvoice(_ context.Context, _ cloud.Caller, _ time.Time, n cloud.NewInvoice, _ cloud.MakeInvoice) (cloud.Invoice, error) {
	return cloud.Invoice{}, cloud.Errorf(cloud.CodeConflict, "The month %s is not over.", n.Month.Format("2006-01"))
}

func (s *fakeStore) DraftInvoice(_ context.Context, _ cloud.Caller, now time.Time, n cloud.NewInvoice, makes cloud.MakeInvoice) (cloud.Invoice, error) {
	return makes(cloud.InvoiceInput{TenantID: n.TenantID, Month: n.Month, Now: now, Terms: n.InvoiceTerms, Currency: cloud.CurrencyOf("EUR")})
}

func (s *fakeStore) Invoices(context.Context, cloud.Caller, cloud.InvoiceFilter) ([]cloud.Invoice, error) {
	return nil, nil
}

func (s *fakeStore) Invoice(_ context.Context, _ cloud.Caller, id string) (cloud.Invoice, error) {
	return cloud.Invoice{}, cloud.Errorf(cloud.CodeNotFound, "There is no invoice %s.", id)
}

func (s *fakeStore) BillingAccounts(context.Context, cloud.Caller, string) ([]cloud.BillingAccount, error) {
	return nil, nil
}

func (s *fakeStore) ClosedUntil(context.Context) (time.Time, error) { return time.Time{}, nil }
