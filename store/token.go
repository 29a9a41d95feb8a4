package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

const tokenColumns = `
		  k.id,
		  k.tenant_id,
		  k.user_id,
		  COALESCE(u.name, ''),
		  k.name,
		  k.kind,
		  k.role,
		  k.scope,
		  k.labels,
		  k.created_at,
		  k.updated_at,
		  k.revision,
		  k.expires_at,
		  k.last_used_at,
		  k.revoked_at`

const tokenTables = `
		FROM token k
		LEFT JOIN "user" u ON u.id = k.user_id`

func scanToken(rows *sql.Rows) (k cloud.Token, err error) {
	var meta metaColumns
	var tenant, user sql.NullString
	var kind, role, scope string
	var expires, used, revoked sql.NullInt64
	err = rows.Scan(
		&k.ID,
		&tenant,
		&user,
		&k.UserName,
		&k.Name,
		&kind,
		&role,
		&scope,
		&meta.labels,
		&meta.createdAt,
		&meta.updated,
		&k.Revision,
		&expires,
		&used,
		&revoked,
	)
	if err != nil {
		return k, err
	}
	k.TenantID, k.UserID = tenant.String, user.String
	k.Kind, k.Role, k.Scope = cloud.TokenKind(kind), cloud.Role(role), cloud.Scope(scope)
	k.ExpiresAt, k.LastUsedAt, k.RevokedAt = moment(expires), moment(used), moment(revoked)
	return k, meta.into(&k.Meta)
}

func noToken(id string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no token %q; list the tokens to see yours.", id)
}

// CreateToken keeps a token of which hash is the hash of its secret. Its role is
// at most that of its maker in the tenant.
//
// Returns CodeNotFound for a tenant that the caller may not see, CodeForbidden
// when the role is more than the caller's own, or the caller's scope is not
// everything.
func (d *DB) CreateToken(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewToken, hash string) (k cloud.Token, err error) {
	if err := mayMakeToken(c, n); err != nil {
		return k, err
	}
	err = d.write(ctx, now, c, "token.create", func(t *tx) error {
		if k, err = t.createToken(n, hash); err == nil {
			t.answer = cloud.Issued{Token: k}
		}
		return err
	})
	return k, err
}

func mayMakeToken(c cloud.Caller, n cloud.NewToken) error {
	switch {
	case n.Role == cloud.RoleOperator && !c.Operator:
		return cloud.Errorf(cloud.CodeForbidden, "You are %s of a tenant, so you make no token for the role operator; ask an operator.", c.Role)
	case n.TenantID != "" && !c.Sees(n.TenantID):
		return noTenant(n.TenantID)
	case n.TenantID == "" && !c.Operator:
		return invalid("tenant", "The tenant of the token is missing.")
	case c.Scope != cloud.ScopeAll:
		return cloud.Errorf(cloud.CodeForbidden, "A token with a scope makes no other tokens; log in, or use one without a scope.")
	case !c.Role.Covers(n.Role) && !c.Operator:
		return cloud.Errorf(cloud.CodeForbidden, "You are %s, so you make no token for the role %s.", c.Role, n.Role)
	case n.Role == cloud.RoleOperator && n.TenantID != "":
		return invalid("role", "A token of a tenant is for a role in it: viewer, member or admin.")
	}
	return nil
}

func (t *tx) createToken(n cloud.NewToken, hash string) (cloud.Token, error) {
	if n.TenantID != "" {
		if _, err := liveTenant(t, n.TenantID); err != nil {
			return cloud.Token{}, err
		}
		if err := t.refuseQuota(n.TenantID, cloud.Amounts{cloud.ResourceTokens: 1}); err != nil {
			return cloud.Token{}, err
		}
	}
	_, err := t.exec(`
		INSERT INTO token (
		  id,
		  tenant_id,
		  user_id,
		  name,
		  kind,
		  hash,
		  role,
		  scope,
		  created_at,
		  updated_at,
		  expires_at
		) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		n.ID,
		orNull(n.TenantID),
		orNull(n.UserID),
		n.Name,
		string(n.Kind),
		hash,
		string(n.Role),
		string(n.Scope),
		stamp(t.now),
		stamp(t.now),
		stamp(n.ExpiresAt),
	)
	if err != nil {
		return cloud.Token{}, err
	}
	t.audited(n.TenantID, cloud.Ref{Kind: cloud.KindToken, ID: n.ID}, n.Name)
	k, _, err := one(t, scanToken, `SELECT `+tokenColumns+tokenTables+` WHERE k.id = ?`, n.ID)
	return k, err
}

// visibleTokens are the caller's own; an admin sees those of the tenant, an
// operator all. With a token that is bound nobody sees or ends what may more: not
// the user's logins, nor what it has elsewhere.
func visibleTokens(w *where, c cloud.Caller) {
	if c.Bound.TenantID != "" {
		w.and("k.tenant_id = ?", c.Bound.TenantID)
		for _, r := range cloud.Roles() {
			if !c.Bound.Role.Covers(r) {
				w.and("k.role <> ?", string(r))
			}
		}
		switch c.Bound.Scope {
		case cloud.ScopeAll:
		case cloud.ScopeRead: // usage is something to read
			w.and("k.scope IN (?, ?)", string(cloud.ScopeRead), string(cloud.ScopeUsage))
		default:
			w.and("k.scope = ?", string(c.Bound.Scope))
		}
	}
	switch {
	case c.Operator:
	case c.Role.Covers(cloud.RoleAdmin):
		w.and("(k.tenant_id = ? OR k.user_id = ?)", c.TenantID, c.UserID)
	default:
		w.and("k.user_id = ?", c.UserID)
	}
}

// Token returns one of the tokens that the caller finds in the list. Returns
// CodeNotFound.
func (d *DB) Token(ctx context.Context, c cloud.Caller, now time.Time, id string) (cloud.Token, error) {
	var w where
	w.and("k.id = ?", id)
	visibleTokens(&w, c)
	w.goodTokens(now)
	k, found, err := one(d.read(ctx), scanToken, `SELECT `+tokenColumns+tokenTables+w.String(), w.args...)
	if err == nil && !found {
		err = noToken(id)
	}
	return k, fail("read token", err)
}

// goodTokens leaves out the tokens that open nothing any more.
func (w *where) goodTokens(now time.Time) {
	w.and("k.revoked_at IS NULL")
	w.and("(k.expires_at IS NULL OR k.expires_at > ?)", stamp(now))
}

// Tokens lists the tokens that the caller may see and that are neither revoked
// nor over; sessions are among them. A session is of no tenant: beside those of
// one stand the caller's own.
func (d *DB) Tokens(ctx context.Context, c cloud.Caller, now time.Time, f cloud.Filter, p cloud.Page) (items []cloud.Token, next string, err error) {
	page, err := listSpan(p, "tokens", f.TenantID, f)
	if err != nil {
		return nil, "", err
	}
	var w where
	visibleTokens(&w, c)
	w.goodTokens(now)
	if f.TenantID != "" {
		w.and("(k.tenant_id = ? OR k.kind = ? AND k.user_id = ?)", f.TenantID, string(cloud.TokenSession), c.UserID)
	}
	w.filter(cloud.KindToken, "k.", f)
	tail := page.in(&w, "k.")
	items, err = collect(d.read(ctx), scanToken, `SELECT `+tokenColumns+tokenTables+tail, w.args...)
	if err != nil {
		return nil, "", fail("list tokens", err)
	}
	items, next = cut(page, items, func(k *cloud.Token) place { return place{k.CreatedAt, k.Name, k.ID} })
	return items, next, nil
}

// RevokeToken ends a token; one that has ended already stays so. Returns
// CodeNotFound for one that the caller may not see.
func (d *DB) RevokeToken(ctx context.Context, c cloud.Caller, now time.Time, id string) error {
	return d.write(ctx, now, c, "token.revoke", func(t *tx) error {
		var w where
		w.and("k.id = ?", id)
		visibleTokens(&w, c)
		k, found, err := one(t, scanToken, `SELECT `+tokenColumns+tokenTables+w.String(), w.args...)
		if err == nil && !found {
			err = noToken(id)
		}
		if err != nil {
			return err
		}
		if err := c.Expects(k.Tag()); err != nil {
			return err
		}
		t.audited(k.TenantID, cloud.Ref{Kind: cloud.KindToken, ID: k.ID}, k.Name)
		return t.revokeTokens(`id = ?`, id)
	})
}

func (t *tx) revokeTokens(cond string, args ...any) error {
	_, err := t.exec(`
		UPDATE token
		SET revoked_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE revoked_at IS NULL
		  AND `+cond, append([]any{stamp(t.now), stamp(t.now)}, args...)...)
	t.identityChanged = true
	return err
}
