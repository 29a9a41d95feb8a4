package api

import (
	"context"
	"net/http"

	"github.com/shopspring/decimal"

	"lodge/api/wire"
	"lodge/cloud"
	"lodge/meter"
)

const (
	monthHours = meter.MonthHours
	// noPrice is the note of what costs nothing because nobody said what it costs.
	noPrice = "no price"
)

// quoted is what an estimate is of.
type quoted struct {
	vcpus, memoryMiB, diskGiB int
	flavor                    string
	labels                    map[string]string
}

// createEstimate says what an instance would cost.
func (s *server) createEstimate(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant")
	if q.err != nil {
		return q.err
	}
	var body wire.CreateEstimate
	if err := decode(w, r, &body); err != nil {
		return err
	}
	hours := int64(monthHours)
	bad := cloud.ValidateLabels("labels", body.Labels)
	if body.HoursPerMonth != nil {
		if hours = *body.HoursPerMonth; hours < 0 || hours > monthHours {
			bad = append(bad, cloud.FieldError{Field: "hours_per_month", Message: "An estimate is of a month of 730 hours; it runs for 0 to 730 of them."})
		}
	}
	n := cloud.NewInstance{FlavorID: body.Flavor, Image: lowerID(body.Image)}
	bad = append(bad, instanceSize(wire.CreateInstance{Size: body.Size, VCPUs: body.VCPUs, MemoryMiB: body.MemoryMiB, DiskGiB: body.DiskGiB, Flavor: body.Flavor}, &n)...)
	if body.Flavor != "" {
		bad = append(bad, cloud.ValidateFlavorID("flavor", body.Flavor)...)
	}
	if body.Image != "" {
		bad = append(bad, validateRef("image", body.Image)...)
	}
	if err := cloud.Invalid(bad); err != nil {
		return err
	}
	var err error
	if n.TenantID, err = s.tenantFor(w, r, c, q.Get("tenant"), body.Tenant); err != nil {
		return err
	}
	if err := s.fillEstimate(r.Context(), c, &n); err != nil {
		return err
	}
	out := wire.SizeEstimate{TenantID: n.TenantID, VCPUs: n.VCPUs, MemoryMiB: n.MemoryMiB, DiskGiB: n.DiskGiB, Flavor: n.FlavorID}
	out.Price, err = s.estimate(r.Context(), c, n.TenantID, quoted{n.VCPUs, n.MemoryMiB, n.DiskGiB, n.FlavorID, body.Labels}, hours)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, out)
}

// fillEstimate puts the values of the flavor and the disk of the image where the
// request has none, as they would be for a new instance.
func (s *server) fillEstimate(ctx context.Context, c cloud.Caller, n *cloud.NewInstance) error {
	if n.FlavorID == "" && n.VCPUs == 0 && n.MemoryMiB == 0 {
		n.FlavorID = cloud.DefaultFlavorID
	}
	if n.FlavorID != "" {
		f, err := s.Flavors.Flavor(ctx, n.FlavorID)
		if cloud.CodeOf(err) == cloud.CodeNotFound {
			return invalid("flavor", "There is no flavor %s; list the flavors to see them, or give vcpus and memory_mib.", quote(n.FlavorID))
		}
		if err != nil {
			return err
		}
		for _, part := range []struct {
			to *int
			of int
		}{{&n.VCPUs, f.VCPUs}, {&n.MemoryMiB, f.MemoryMiB}, {&n.DiskGiB, f.DiskGiB}} {
			if *part.to == 0 {
				*part.to = part.of
			}
		}
	}
	if n.VCPUs == 0 || n.MemoryMiB == 0 {
		return invalid("size", "The size is not whole; give vcpus and memory_mib, or a flavor.")
	}
	need := 0
	if n.Image != "" {
		img, err := s.Images.Image(ctx, c, n.Image, n.TenantID)
		if cloud.CodeOf(err) == cloud.CodeNotFound {
			return invalid("image", "There is no image %s; list the images to see them.", quote(n.Image))
		}
		if err != nil {
			return err
		}
		need = int((img.VirtualSize + 1<<30 - 1) >> 30)
	}
	if n.DiskGiB == 0 {
		n.DiskGiB = max(cloud.DefaultDiskGiB, need)
	}
	n.DiskGiB = max(n.DiskGiB, need)
	return nil
}

// estimate says what something costs a tenant that runs for so many hours of a
// month, at the prices of now.
func (s *server) estimate(ctx context.Context, c cloud.Caller, tenantID string, of quoted, hours int64) (out wire.PriceEstimate, err error) {
	book, err := s.book(ctx, c, tenantID)
	if err != nil {
		return out, err
	}
	quotes := meter.Estimate(book.prices, book.discounts, tenantID, of.flavor, of.labels, []cloud.Reading{
		{Slot: "instance", Meter: cloud.MeterInstance, Amount: 1},
		{Slot: "cpu", Meter: cloud.MeterVCPU, Amount: int64(of.vcpus)},
		{Slot: "memory", Meter: cloud.MeterMemory, Amount: int64(of.memoryMiB)},
		{Slot: "disk:root", Meter: cloud.MeterDisk, Amount: int64(of.diskGiB)},
	}, s.Now(), hours)
	out = wire.PriceEstimate{Currency: book.currency.Code, HoursPerMonth: hours, Lines: make([]wire.EstimateLine, 0, len(quotes))}
	perHour, perMonth := decimal.Zero, decimal.Zero
	for _, q := range quotes {
		perHour, perMonth = perHour.Add(q.PerHour), perMonth.Add(q.PerMonth)
		line := wire.EstimateLine{
			Meter: string(q.Meter), Unit: q.Meter.Unit(), Quantity: q.Quantity.String(), PriceID: q.PriceID, UnitPrice: q.UnitPrice.String(),
			HoursPerMonth: q.Hours, PerHour: q.PerHour.String(), PerMonth: q.PerMonth.String(),
		}
		if q.Percent.IsPositive() {
			line.DiscountPercent = q.Percent.String()
		}
		if q.PriceID == "" {
			out.Note = noPrice
		}
		out.Lines = append(out.Lines, line)
	}
	out.PerHour, out.PerMonth = perHour.String(), perMonth.String()
	return out, nil
}

// priceBook is what of the book counts for a tenant, or for all of them.
type priceBook struct {
	prices    []cloud.Price
	discounts []cloud.Discount
	currency  cloud.Currency
}

func (s *server) book(ctx context.Context, c cloud.Caller, tenantID string) (b priceBook, err error) {
	f := cloud.PriceFilter{TenantID: tenantID}
	if b.prices, err = s.Prices.Prices(ctx, c, f); err != nil {
		return b, err
	}
	if b.discounts, err = s.Discounts.Discounts(ctx, c, f); err != nil {
		return b, err
	}
	b.currency, err = s.Prices.Currency(ctx)
	return b, err
}
