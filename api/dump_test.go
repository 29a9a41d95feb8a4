package api_test

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// dump is every row of the house, as text: two that are equal tell that nothing
// was written between them.
func (h *house) dump() string {
	h.t.Helper()
	must := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite3", "file:"+h.path+"?mode=ro")
	must(err)
	defer db.Close()
	read := func(query string) (out []string) {
		rows, err := db.Query(query)
		must(err)
		defer rows.Close()
		columns, err := rows.Columns()
		must(err)
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			must(rows.Scan(into...))
			out = append(out, fmt.Sprint(values...))
		}
		must(rows.Err())
		return out
	}
	var b strings.Builder
	for _, table := range read(`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`) {
		rows := read(`SELECT * FROM "` + table + `"`)
		slices.Sort(rows)
		fmt.Fprintf(&b, "%s\n\t%s\n", table, strings.Join(rows, "\n\t"))
	}
	return b.String()
}

var auditRows = regexp.MustCompile(`(?m)^audit\n(\t.*\n)*|^\taudit\d+\n`)

// withoutAudit is a dump without the audit log and the count of its rows.
func withoutAudit(dump string) string { return auditRows.ReplaceAllString(dump, "") }
