package store

import (
	"database/sql"
	"fmt"
	"strings"

	"lodge/cloud"
)

// strange are rows that lodge cannot have written: a value of another type, text
// that is no JSON. Whoever reads the whole ledger leaves them out and hears of them
// at the end, so that one of them hides no other.
type strange struct {
	told map[string]bool
	rows []cloud.UnreadableRow
}

// note keeps what is wrong with the present row of rows, which begins with its
// number when it has one; v is what it was to be. It reports whether that is enough.
func (u *strange) note(rows *sql.Rows, v any, why error) bool {
	if u == nil {
		return false
	}
	columns, err := rows.Columns()
	if err != nil || len(columns) == 0 {
		return false
	}
	values := make([]any, len(columns))
	for n := range values {
		values[n] = new(any)
	}
	if err := rows.Scan(values...); err != nil {
		return false
	}
	r := cloud.UnreadableRow{Table: tableOf(v), Why: shortly(why)}
	if seq, ok := (*values[0].(*any)).(int64); ok {
		r.Row = seq
	}
	if key := fmt.Sprint(r); !u.told[key] {
		u.told[key] = true
		u.rows = append(u.rows, r)
	}
	return true
}

// shortly is what a scan or a decoder says, without the names of Go.
func shortly(err error) string {
	text := err.Error()
	if n := strings.Index(text, ": converting driver.Value type "); n >= 0 {
		text = text[:n]
	}
	return strings.TrimPrefix(text, "sql: ")
}

// tableOf is where what is read is kept.
func tableOf(v any) string {
	switch v.(type) {
	case cloud.Interval:
		return "usage_interval"
	case cloud.UsageDrop:
		return "usage_drop"
	case cloud.UsageFact:
		return "usage_fact"
	case cloud.ClockStep:
		return "usage_clock_step"
	case cloud.UsageHour:
		return "usage_hour"
	case cloud.UsageSeal:
		return "usage_seal"
	case cloud.Traffic:
		return "usage_traffic"
	case cloud.KeptClock:
		return "usage_clock"
	case recountKey:
		return "usage_recount"
	case cloud.Invoice:
		return "invoice"
	case cloud.InvoiceLine:
		return "invoice_line"
	case keptPrice:
		return "price"
	case keptDiscount:
		return "discount"
	}
	return "lodge.db"
}

func (l ledger) Unreadable() []cloud.UnreadableRow { return l.wrong.rows }
