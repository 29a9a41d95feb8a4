package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"lodge/cloud"
)

// stamp is a time as it is kept: milliseconds, NULL for the zero time.
func stamp(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: true}
}

// moment is the time of a kept stamp, in UTC; zero for NULL.
func moment(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// orNull keeps an empty id as NULL, for the foreign keys.
func orNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// asJSON is a map or a list as text; nil is the empty one.
func asJSON[T map[string]string | []string | []netip.Addr](v T) string {
	if len(v) == 0 {
		if _, isMap := any(v).(map[string]string); isMap {
			return "{}"
		}
		return "[]"
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps and lists of text always marshal
	}
	return string(b)
}

// fromJSON is the inverse of asJSON; the empty one is nil.
func fromJSON[T map[string]string | []string | []netip.Addr](text string) (T, error) {
	var v T
	if text == "{}" || text == "[]" || text == "" {
		return v, nil
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("decode %.40q: %w", text, err)
	}
	return v, nil
}

// metaColumns are the columns of cloud.Meta but for the id, while they are
// scanned.
type metaColumns struct {
	labels             string
	createdAt, updated sql.NullInt64
}

func (m *metaColumns) into(meta *cloud.Meta) (err error) {
	meta.CreatedAt, meta.UpdatedAt = moment(m.createdAt), moment(m.updated)
	meta.Labels, err = fromJSON[map[string]string](m.labels)
	return err
}

// problemColumns are the problem_ columns of a row.
type problemColumns struct {
	code     sql.NullString
	message  string
	since    sql.NullInt64
	retryAt  sql.NullInt64
	attempts int
}

func (p *problemColumns) problem() *cloud.Problem {
	if !p.code.Valid {
		return nil
	}
	return &cloud.Problem{
		Code:     cloud.Code(p.code.String),
		Message:  p.message,
		Since:    moment(p.since),
		RetryAt:  moment(p.retryAt),
		Attempts: p.attempts,
	}
}

// columnsOf is the inverse of problem. What was a problem with the same code
// before keeps its Since; a new one without one began at now.
func columnsOf(p, before *cloud.Problem, now time.Time) problemColumns {
	if p == nil {
		return problemColumns{}
	}
	since := p.Since
	if before != nil && before.Code == p.Code {
		since = before.Since
	} else if since.IsZero() {
		since = now
	}
	return problemColumns{
		code:     sql.NullString{String: string(p.Code), Valid: true},
		message:  p.Message,
		since:    stamp(since),
		retryAt:  stamp(p.RetryAt),
		attempts: p.Attempts,
	}
}

// chunk is how many ids one statement names at most.
const chunk = 200

// marks is "?, ?, ?" for the ids, and the ids as arguments. The last id is
// repeated up to one of a few lengths, so that few statements have to be kept
// prepared.
func marks(ids []string) (string, []any) {
	n := len(ids)
	for _, size := range []int{1, 8, 40, chunk} {
		if n <= size {
			n = size
			break
		}
	}
	args := make([]any, n)
	for i := range args {
		args[i] = ids[min(i, len(ids)-1)]
	}
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", "), args
}

// collect scans all rows of a query.
func collect[T any](s source, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := s.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows.Rows)
		if err != nil {
			if l, ok := s.(ledger); ok && l.wrong.note(rows.Rows, v, err) {
				continue
			}
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func scanNumber(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }

func scanText(rows *sql.Rows) (text string, err error) { return text, rows.Scan(&text) }

// one scans the only row of a query; found is false when there is none.
func one[T any](s source, scan func(*sql.Rows) (T, error), query string, args ...any) (v T, found bool, err error) {
	all, err := collect(s, scan, query, args...)
	if err != nil || len(all) == 0 {
		return v, false, err
	}
	return all[0], true, nil
}

// exists reports whether a query has a row.
func exists(s source, query string, args ...any) (bool, error) {
	rows, err := s.rows(query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}
