package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// upgrading is the version of a row of schema_migrations that is there while an
// upgrade is under way: between two migrations nothing else tells a file that a
// kill has left from one that an older lodge has worked with. Its name is the
// first migration of the upgrade and the last one that was done.
const upgrading = -2

// markUpgrade writes how far an upgrade has come; with its last migration nothing
// is left of that.
func (t *tx) markUpgrade(from, done int, last bool) error {
	if last {
		_, err := t.exec(`DELETE FROM schema_migrations WHERE version = ?`, upgrading)
		return err
	}
	_, err := t.exec(`
		INSERT INTO schema_migrations (version, name)
		VALUES (?, ?)
		ON CONFLICT (version) DO UPDATE SET name = excluded.name`,
		upgrading, fmt.Sprintf("%d %d", from, done))
	return err
}

// underWay is the first migration of the upgrade that has not ended; 0: there is
// none. A mark that is behind the schema is none: an older lodge, which does not
// know of marks, has gone on from there and worked with the file.
func underWay(s source) (from int, err error) {
	var name string
	err = s.row(`SELECT name FROM schema_migrations WHERE version = ?`, upgrading).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var done, newest int
	if n, _ := fmt.Sscanf(name, "%d %d", &from, &done); n != 2 {
		return 0, nil
	}
	if err := s.row(`SELECT MAX(version) FROM schema_migrations`).Scan(&newest); err != nil || newest != done {
		return 0, err
	}
	return from, nil
}

// begunAt is underWay of a file of lodge's that nobody has open.
func begunAt(ctx context.Context, path string) (from int, err error) {
	s, err := examine(ctx, path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	from, err = underWay(s.reads(ctx))
	return from, unreadableOrNil(path, err)
}
