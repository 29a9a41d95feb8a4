package backup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keep is how many backups stay: the newest of each of the last so many hours,
// days and weeks (from Monday, UTC) that have one.
type Keep struct{ Hourly, Daily, Weekly int }

// ReadKeep reads "hourly=24,daily=7,weekly=4"; what is left out is 0.
func ReadKeep(text string) (k Keep, err error) {
	given := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > 10_000 {
			return k, fmt.Errorf("%q: use hourly=24,daily=7,weekly=4", text)
		}
		if given[name] {
			return k, fmt.Errorf("%q: %s is given twice", text, name)
		}
		given[name] = true
		switch name {
		case "hourly":
			k.Hourly = n
		case "daily":
			k.Daily = n
		case "weekly":
			k.Weekly = n
		default:
			return k, fmt.Errorf("%q: use hourly=24,daily=7,weekly=4", text)
		}
	}
	if k == (Keep{}) {
		return k, fmt.Errorf("%q keeps nothing", text)
	}
	return k, nil
}

// Expired are the scheduled backups of a host that nothing keeps, by their names.
// The newest one always stays, and so does what a person has made and what is of
// another host. One of a time to come, by a clock that was ahead, stays until then,
// and takes the place of no other. It is pure.
func (k Keep) Expired(ids []string, hostID string, now time.Time) (out []string) {
	var own []string
	for _, id := range ids {
		if IsID(id) && mine(id, hostID) && strings.HasSuffix(id, bySchedule) && !ahead(id, now) {
			own = append(own, id)
		}
	}
	newestFirst(own)
	kept := map[string]bool{}
	if len(own) > 0 {
		kept[own[0]] = true
	}
	for _, rule := range []struct {
		n    int
		span func(time.Time) string
	}{
		{k.Hourly, func(t time.Time) string { return t.Format("2006010215") }},
		{k.Daily, func(t time.Time) string { return t.Format("20060102") }},
		{k.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, " ", w) }},
	} {
		last := ""
		for _, id := range own {
			at, err := time.Parse("20060102T150405", id[:15])
			if err != nil {
				kept[id] = true // no time: nobody knows how old it is
				continue
			}
			if span := rule.span(at); rule.n > 0 && span != last {
				last, kept[id] = span, true
				rule.n--
			}
		}
	}
	for _, id := range own {
		if !kept[id] {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// ahead reports whether the time in a name is still to come.
func ahead(id string, now time.Time) bool {
	at, err := time.Parse("20060102T150405", id[:15])
	return err == nil && at.After(now)
}
