package api

import (
	"net/http"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

// priceQuery reads what lists of prices and discounts are narrowed by, and which
// part of them is asked for.
func (s *server) priceQuery(r *http.Request, c cloud.Caller) (f cloud.PriceFilter, p cloud.Page, err error) {
	q := parseQuery(r, "tenant", "meter", "at", "limit", "cursor")
	p = q.page()
	words := make([]string, 0, len(cloud.BilledMeters()))
	for _, m := range cloud.BilledMeters() {
		words = append(words, string(m))
	}
	f.Meter = cloud.Meter(q.oneOf("meter", words...))
	f.At = q.instant("at", time.Time{})
	if q.err == nil {
		f.TenantID, q.err = s.narrow(r, c, q.Get("tenant"))
	}
	return f, p, q.err
}

func (s *server) listPrices(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	f, p, err := s.priceQuery(r, c)
	if err != nil {
		return err
	}
	items, next, err := s.Prices.PricePage(r.Context(), c, f, p)
	if err != nil {
		return err
	}
	return replyList(w, items, next, wirePrice)
}

func (s *server) getPrice(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindPrice)
	if err != nil {
		return err
	}
	p, err := s.Prices.Price(r.Context(), c, id)
	if err != nil {
		return err
	}
	etag(w, p.Tag())
	return reply(w, http.StatusOK, wirePrice(p))
}

// bookID is the id in the path of a request without other parameters.
func bookID(r *http.Request, kind cloud.Kind) (string, error) {
	id, err := pathID(r, kind)
	if err != nil {
		return "", err
	}
	q := parseQuery(r, "tenant")
	return id, q.err
}

func (s *server) createPrice(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	var body wire.CreatePrice
	if err := decode(w, r, &body); err != nil {
		return err
	}
	p := cloud.Price{
		ID: s.NewID(), Meter: cloud.Meter(body.Meter), FlavorID: body.Flavor, Selector: body.Label, UnitPrice: body.UnitPrice,
		Currency: body.Currency, MinimumSeconds: body.MinimumSeconds, CapHours: body.CapHours,
	}
	if body.States != nil {
		p.States = make([]cloud.State, 0, len(body.States))
		for _, state := range body.States {
			p.States = append(p.States, cloud.State(state))
		}
	}
	var err error
	if p.From, p.To, err = validity(body.ValidFrom, body.ValidTo); err != nil {
		return err
	}
	if p.TenantID, err = s.narrow(r, c, body.Tenant); err != nil {
		return err
	}
	if p, err = s.Prices.CreatePrice(r.Context(), c, s.Now(), p, body.Replace); err != nil {
		return err
	}
	location(w, "/v1/prices/"+p.ID)
	return reply(w, http.StatusCreated, wirePrice(p))
}

// validity reads the times of a price; "" is the zero time.
func validity(from, to string) (a, b time.Time, err error) {
	if a, err = bodyInstant("valid_from", from); err == nil {
		b, err = bodyInstant("valid_to", to)
	}
	return a, b, err
}

func bodyInstant(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, ok := instantOf(text)
	if !ok {
		return t, invalid(field, "The field %s is a time such as 2026-11-05T12:00:00Z, a day or a month such as 2026-11, not %s.", field, quote(text))
	}
	return t, nil
}

// endOf reads when a price or discount is to end: at the next whole hour when
// the body does not say.
func (s *server) endOf(w http.ResponseWriter, r *http.Request) (time.Time, error) {
	var body wire.EndPrice
	if err := decodeOptional(w, r, &body); err != nil {
		return time.Time{}, err
	}
	at, err := bodyInstant("at", body.At)
	if err == nil && body.At == "" {
		at = cloud.Hour(s.Now()).Add(time.Hour)
	}
	return at, err
}

// asNamed is an operator as the admin of the tenant that it names beside an
// object, which has to be that tenant's or everybody's.
func (s *server) asNamed(r *http.Request, c cloud.Caller) (cloud.Caller, error) {
	id, err := s.narrow(r, c, r.URL.Query().Get("tenant"))
	if err == nil && id != "" {
		c.Operator, c.Role, c.TenantID = false, cloud.RoleAdmin, id
	}
	return c, err
}

func (s *server) endPrice(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindPrice)
	if err != nil {
		return err
	}
	at, err := s.endOf(w, r)
	if err != nil {
		return err
	}
	of, err := s.asNamed(r, c)
	if err != nil {
		return err
	}
	if _, err := s.Prices.Price(r.Context(), of, id); err != nil {
		return err
	}
	p, err := s.Prices.EndPrice(r.Context(), c, s.Now(), id, at)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, wirePrice(p))
}

func (s *server) listDiscounts(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	f, p, err := s.priceQuery(r, c)
	if err != nil {
		return err
	}
	items, next, err := s.Discounts.DiscountPage(r.Context(), c, f, p)
	if err != nil {
		return err
	}
	return replyList(w, items, next, wireDiscount)
}

func (s *server) getDiscount(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindDiscount)
	if err != nil {
		return err
	}
	d, err := s.Discounts.Discount(r.Context(), c, id)
	if err != nil {
		return err
	}
	etag(w, d.Tag())
	return reply(w, http.StatusOK, wireDiscount(d))
}

func (s *server) createDiscount(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	if q := parseQuery(r); q.err != nil {
		return q.err
	}
	var body wire.CreateDiscount
	if err := decode(w, r, &body); err != nil {
		return err
	}
	d := cloud.Discount{ID: s.NewID(), Meter: cloud.Meter(body.Meter), Percent: body.Percent}
	var err error
	if d.From, d.To, err = validity(body.ValidFrom, body.ValidTo); err != nil {
		return err
	}
	if d.TenantID, err = s.narrow(r, c, body.Tenant); err != nil {
		return err
	}
	if d, err = s.Discounts.CreateDiscount(r.Context(), c, s.Now(), d); err != nil {
		return err
	}
	location(w, "/v1/discounts/"+d.ID)
	return reply(w, http.StatusCreated, wireDiscount(d))
}

func (s *server) endDiscount(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := bookID(r, cloud.KindDiscount)
	if err != nil {
		return err
	}
	at, err := s.endOf(w, r)
	if err != nil {
		return err
	}
	of, err := s.asNamed(r, c)
	if err != nil {
		return err
	}
	if _, err := s.Discounts.Discount(r.Context(), of, id); err != nil {
		return err
	}
	d, err := s.Discounts.EndDiscount(r.Context(), c, s.Now(), id, at)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, wireDiscount(d))
}

func wirePrice(p cloud.Price) wire.Price {
	out := wire.Price{
		ID: p.ID, TenantID: p.TenantID, Meter: string(p.Meter), Unit: p.Meter.Unit(), Flavor: p.FlavorID, Label: p.Selector,
		UnitPrice: p.UnitPrice, Currency: p.Currency, ValidFrom: wireTime(p.From), ValidTo: wireTime(p.To),
		MinimumSeconds: p.MinimumSeconds, CapHours: p.CapHours, States: make([]string, 0, len(p.States)), CreatedAt: wireTime(p.Created),
	}
	for _, s := range p.States {
		out.States = append(out.States, string(s))
	}
	return out
}

func wireDiscount(d cloud.Discount) wire.Discount {
	return wire.Discount{
		ID: d.ID, TenantID: d.TenantID, Meter: string(d.Meter), Percent: d.Percent,
		ValidFrom: wireTime(d.From), ValidTo: wireTime(d.To), CreatedAt: wireTime(d.Created),
	}
}
