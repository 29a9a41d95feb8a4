package store_test

import (
	"testing"
	"time"

	"lodge/store"
)

// A price that was changed by hand, past the triggers, breaks the chain; an end
// that was said does not.
func TestVerifyFindsAPriceThatWasChangedByHand(t *testing.T) {
	for _, stmt := range []string{
		`UPDATE price SET unit_price = '0'`, `DELETE FROM price_currency`, `UPDATE discount SET percent = '99'`, `UPDATE price_end SET ended_at = ended_at + 3600000`, `DELETE FROM discount_end`,
		`INSERT INTO price (id, meter, flavor_id, selector, unit_price, currency, valid_from, minimum_seconds, cap_hours, states, created_at) VALUES ('x', 'disk', '', '', '0', 'EUR', 0, 0, 0, '[]', 0)`,
	} {
		w := newWorld(t)
		p, d := w.price("a"), w.discount("d", w.tenant.ID)
		_, err := w.EndPrice(ctx, operator, w.now, p.ID, noon.Add(time.Hour))
		w.must(err)
		_, err = w.EndDiscount(ctx, operator, w.now, d.ID, noon.Add(time.Hour))
		w.must(err)
		w.sound()
		for _, trigger := range store.Query(t, w.DB, `SELECT name FROM sqlite_schema WHERE type = 'trigger'`) {
			w.must(store.Exec(w.DB, `DROP TRIGGER `+trigger))
		}
		w.must(store.Exec(w.DB, stmt))
		if r := w.verify(); len(r.Findings) == 0 {
			t.Errorf("%s: nothing found", stmt)
		}
	}
}
