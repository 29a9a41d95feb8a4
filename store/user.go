package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

const userColumns = `
		  id,
		  name,
		  email,
		  operator,
		  password_hash <> '',
		  issuer,
		  subject,
		  labels,
		  created_at,
		  updated_at,
		  revision,
		  deleted_at`

func scanUser(rows *sql.Rows) (u cloud.User, err error) {
	var meta metaColumns
	var deleted sql.NullInt64
	err = rows.Scan(
		&u.ID,
		&u.Name,
		&u.Email,
		&u.Operator,
		&u.HasPassword,
		&u.Issuer,
		&u.Subject,
		&meta.labels,
		&meta.createdAt,
		&meta.updated,
		&u.Revision,
		&deleted,
	)
	if err != nil {
		return u, err
	}
	u.DeletedAt = moment(deleted)
	return u, meta.into(&u.Meta)
}

func noUser(idOrName string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no user %q; list the users to see them.", idOrName)
}

func onlyOperator(c cloud.Caller, what string) error {
	if c.Operator {
		return nil
	}
	return cloud.Errorf(cloud.CodeForbidden, "Only an operator %s; ask yours.", what)
}

// CreateUser makes a user with the memberships of n, whose tenants are named by id
// or name: here, so that a replay does not need them. passwordHash may be empty:
// then there is no login by password.
//
// Returns CodeForbidden for anybody but an operator, CodeNameTaken, CodeNotFound
// for a tenant that is not there.
func (d *DB) CreateUser(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewUser, passwordHash string) (u cloud.User, err error) {
	if err := onlyOperator(c, "makes users"); err != nil {
		return u, err
	}
	err = d.write(ctx, now, c, "user.create", func(t *tx) error {
		u, err = t.createUser(n, passwordHash)
		t.answer = u
		return err
	})
	return u, err
}

func (t *tx) createUser(n cloud.NewUser, passwordHash string) (cloud.User, error) {
	taken, err := exists(t, `SELECT 1 FROM "user" WHERE name = ? AND deleted_at IS NULL`, n.Name)
	if err != nil {
		return cloud.User{}, err
	}
	if taken {
		return cloud.User{}, cloud.Errorf(cloud.CodeNameTaken, "There is a user named %q already; choose another name.", n.Name)
	}
	_, err = t.exec(`
		INSERT INTO "user" (
		  id,
		  name,
		  email,
		  operator,
		  password_hash,
		  issuer,
		  subject,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		n.ID,
		n.Name,
		n.Email,
		n.Operator,
		passwordHash,
		n.Issuer,
		n.Subject,
		stamp(t.now),
		stamp(t.now),
	)
	if err != nil {
		return cloud.User{}, err
	}
	for _, m := range n.Memberships {
		in, err := namedTenant(t, m.TenantID)
		if err != nil {
			return cloud.User{}, err
		}
		if err := t.setMember(in.ID, n.ID, m.Role); err != nil {
			return cloud.User{}, err
		}
	}
	t.audited("", cloud.Ref{Kind: cloud.KindUser, ID: n.ID}, n.Name)
	return liveUser(t, n.ID)
}

// liveUser returns the user with the id or the name, and its memberships.
func liveUser(s source, idOrName string) (cloud.User, error) {
	u, found, err := one(s, scanUser, `
		SELECT `+userColumns+`
		FROM "user"
		WHERE (id = ? OR name = ?)
		  AND deleted_at IS NULL
		ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END
		LIMIT 1`, idOrName, idOrName, idOrName)
	if err == nil && !found {
		err = noUser(idOrName)
	}
	if err != nil {
		return u, err
	}
	u.Memberships, err = memberships(s, `m.user_id = ?`, u.ID)
	return u, err
}

// shownUser is liveUser for a caller: whoever is no operator sees itself alone.
// Nobody else is looked up for it, so that the time tells nothing either.
func shownUser(s source, c cloud.Caller, idOrName string) (cloud.User, error) {
	if c.Operator {
		return liveUser(s, idOrName)
	}
	if c.UserID == "" {
		return cloud.User{}, noUser(idOrName)
	}
	self, err := liveUser(s, c.UserID)
	if err == nil && idOrName != self.ID && idOrName != self.Name {
		return cloud.User{}, noUser(idOrName)
	}
	return self, err
}

// User returns a user by id or name with its memberships. Whoever is no operator
// sees only itself. Returns CodeNotFound.
func (d *DB) User(ctx context.Context, c cloud.Caller, idOrName string) (cloud.User, error) {
	u, err := shownUser(d.read(ctx), c, idOrName)
	if err != nil {
		return cloud.User{}, fail("read user", err)
	}
	return u, nil
}

// Users lists the users, those of one tenant where the filter names it, without
// their memberships. Returns CodeForbidden for
// anybody but an operator.
func (d *DB) Users(ctx context.Context, c cloud.Caller, f cloud.Filter, p cloud.Page) (items []cloud.User, next string, err error) {
	if err := onlyOperator(c, "lists users"); err != nil {
		return nil, "", err
	}
	page, err := listSpan(p, "users", f.TenantID, f)
	if err != nil {
		return nil, "", err
	}
	var w where
	w.and("deleted_at IS NULL")
	if f.TenantID != "" {
		w.and("id IN (SELECT user_id FROM membership WHERE tenant_id = ?)", f.TenantID)
	}
	w.filter(cloud.KindUser, "", f)
	tail := page.in(&w, "")
	items, err = collect(d.read(ctx), scanUser, `SELECT `+userColumns+` FROM "user"`+tail, w.args...)
	if err != nil {
		return nil, "", fail("list users", err)
	}
	items, next = cut(page, items, func(u *cloud.User) place { return place{u.CreatedAt, u.Name, u.ID} })
	return items, next, nil
}

// SetPassword keeps another hash for a user; "" ends logins by password. Every
// session of the user ends with it.
//
// A user may set its own, an operator everybody's. Returns CodeNotFound.
func (d *DB) SetPassword(ctx context.Context, c cloud.Caller, now time.Time, idOrName, passwordHash string) error {
	return d.write(ctx, now, c, "user.set-password", func(t *tx) error {
		u, err := shownUser(t, c, idOrName)
		if err != nil {
			return err
		}
		t.audited("", cloud.Ref{Kind: cloud.KindUser, ID: u.ID}, u.Name)
		_, err = t.exec(`
			UPDATE "user"
			SET password_hash = ?,
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`, passwordHash, stamp(t.now), u.ID)
		if err != nil {
			return err
		}
		return t.revokeTokens(`user_id = ? AND kind = 'session'`, u.ID)
	})
}

// RenewPasswordHash keeps another hash of the password that old is a hash of. It
// changes nothing that anybody sees, and nothing when the password has changed
// meanwhile: sessions go on.
func (d *DB) RenewPasswordHash(ctx context.Context, now time.Time, userID, old, renewed string) error {
	return d.write(ctx, now, cloud.Caller{}, "renew password hash", func(t *tx) error {
		_, err := t.exec(`
			UPDATE "user"
			SET password_hash = ?
			WHERE id = ?
			  AND password_hash = ?
			  AND deleted_at IS NULL`, renewed, userID, old)
		return err
	})
}

// DeleteUser ends a user, its memberships, its tokens and its link to an identity
// provider; the audit log keeps its name. The last operator with a way in stays.
//
// Returns CodeForbidden for anybody but an operator, CodeNotFound, CodeConflict
// for the caller itself.
func (d *DB) DeleteUser(ctx context.Context, c cloud.Caller, now time.Time, idOrName string) error {
	if err := onlyOperator(c, "deletes users"); err != nil {
		return err
	}
	return d.write(ctx, now, c, "user.delete", func(t *tx) error {
		u, err := liveUser(t, idOrName)
		if err != nil {
			return err
		}
		t.answer = u
		if err := c.Expects(u.Tag()); err != nil {
			return err
		}
		if u.ID == c.UserID {
			return cloud.Errorf(cloud.CodeConflict, "You cannot delete yourself; another operator can.")
		}
		t.audited("", cloud.Ref{Kind: cloud.KindUser, ID: u.ID}, u.Name)
		_, err = t.exec(`
			UPDATE "user"
			SET deleted_at = ?,
			    password_hash = '',
			    issuer = '',
			    subject = '',
			    updated_at = ?,
			    revision = revision + 1
			WHERE id = ?`, stamp(t.now), stamp(t.now), u.ID)
		if err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM membership WHERE user_id = ?`, u.ID); err != nil {
			return err
		}
		return t.revokeTokens(`user_id = ?`, u.ID)
	})
}

// Credentials are what a login by password is checked against; the hash is ""
// where there is no such user, or no such login. It tells nobody which: the
// caller must take as long for either.
func (d *DB) Credentials(ctx context.Context, name string) (userID, passwordHash string, err error) {
	err = d.read(ctx).row(`
		SELECT
		  id,
		  password_hash
		FROM "user"
		WHERE name = ?
		  AND deleted_at IS NULL`, name).Scan(&userID, &passwordHash)
	if err == sql.ErrNoRows {
		return "", "", nil
	}
	return userID, passwordHash, fail("read credentials", err)
}
