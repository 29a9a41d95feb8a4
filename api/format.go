package api

import (
	"encoding/csv"
	"mime"
	"net/http"
	"regexp"
	"strings"
)

var typeCSV = []string{"text/csv; charset=utf-8; header=present"}

// format is what an answer is to be written as: what the parameter says, else the
// first media type of Accept that there is, else the first of offers.
func (q *query) format(r *http.Request, offers ...string) string {
	if f := q.oneOf("format", offers...); f != "" {
		return f
	}
	for _, part := range strings.Split(strings.Join(r.Header["Accept"], ","), ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil || params["q"] == "0" {
			continue
		}
		for _, offer := range offers {
			if media == "*/*" || media == mediaOf[offer] {
				return offer
			}
		}
	}
	return offers[0]
}

var mediaOf = map[string]string{"json": "application/json", "csv": "text/csv", "html": "text/html"}

// attachment has a browser keep the answer under a name.
func attachment(w http.ResponseWriter, name string) {
	w.Header()["Content-Disposition"] = []string{`attachment; filename="` + name + `"`}
}

// plainNumber is what a spreadsheet takes for a number and for nothing else.
var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// asText keeps a spreadsheet from taking a name, which a tenant chooses, for a
// formula.
func asText(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) || plainNumber.MatchString(cell) {
		return cell
	}
	return "'" + cell
}

// replyCSV writes rows as CSV (RFC 4180, with line feeds) for spreadsheets, to be
// kept under a name.
func replyCSV(w http.ResponseWriter, name string, rows [][]string) error {
	for _, row := range rows {
		for i := range row {
			row[i] = asText(row[i])
		}
	}
	var b strings.Builder
	if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
		return err
	}
	attachment(w, name)
	write(w, http.StatusOK, typeCSV, []byte(b.String()))
	return nil
}
