package store

import (
	"context"
	"database/sql"
	"time"

	"lodge/cloud"
)

func scanMembership(rows *sql.Rows) (m cloud.Membership, err error) {
	var created sql.NullInt64
	var role string
	err = rows.Scan(
		&m.TenantID,
		&m.TenantName,
		&m.UserID,
		&m.UserName,
		&role,
		&created,
		&m.Revision,
	)
	m.Role, m.CreatedAt = cloud.Role(role), moment(created)
	return m, err
}

func memberships(s source, cond string, args ...any) ([]cloud.Membership, error) {
	return collect(s, scanMembership, `
		SELECT
		  t.id,
		  t.name,
		  u.id,
		  u.name,
		  m.role,
		  m.created_at,
		  m.revision
		FROM membership m
		JOIN tenant t ON t.id = m.tenant_id AND t.deleted_at IS NULL
		JOIN "user" u ON u.id = m.user_id AND u.deleted_at IS NULL
		WHERE `+cond+`
		ORDER BY t.name, u.name`, args...)
}

// mayManage refuses whoever does not decide who is in the tenant.
func mayManage(c cloud.Caller, tenantID string) error {
	switch {
	case !c.Sees(tenantID):
		return noTenant(tenantID)
	case c.Operator || c.Role.Covers(cloud.RoleAdmin):
		return nil
	}
	return cloud.Errorf(cloud.CodeForbidden, "Only an admin of the tenant decides who is in it.")
}

// Members lists who is in a tenant. Returns CodeNotFound for a tenant that the
// caller may not see.
func (d *DB) Members(ctx context.Context, c cloud.Caller, tenantID string) ([]cloud.Membership, error) {
	if !c.Sees(tenantID) {
		return nil, noTenant(tenantID)
	}
	if _, err := liveTenant(d.read(ctx), tenantID); err != nil {
		return nil, fail("list members", err)
	}
	items, err := memberships(d.read(ctx), `m.tenant_id = ?`, tenantID)
	return items, fail("list members", err)
}

// Member returns the membership of one user, by id or name, in a tenant. Returns
// CodeNotFound for a tenant that the caller may not see and for a user who is not
// in it.
func (d *DB) Member(ctx context.Context, c cloud.Caller, tenantID, user string) (cloud.Membership, error) {
	if !c.Sees(tenantID) {
		return cloud.Membership{}, noTenant(tenantID)
	}
	m, found, err := member(d.read(ctx), tenantID, user)
	if err == nil && !found {
		err = noMember(user)
	}
	return m, fail("read member", err)
}

// member finds the membership of a user, by id or else by name, in a tenant.
func member(s source, tenantID, user string) (m cloud.Membership, found bool, err error) {
	all, err := memberships(s, `m.tenant_id = ? AND u.id = ?`, tenantID, user)
	if err == nil && len(all) == 0 {
		all, err = memberships(s, `m.tenant_id = ? AND u.name = ?`, tenantID, user)
	}
	if err != nil || len(all) == 0 {
		return m, false, err
	}
	return all[0], true, nil
}

func noMember(user string) error {
	return cloud.Errorf(cloud.CodeNotFound, "There is no user %q in the tenant; list its members to see them.", user)
}

// expectMember refuses a change that is bound to another membership than the one
// that is there.
func (t *tx) expectMember(tenantID, userID string) error {
	m, found, err := member(t, tenantID, userID)
	if err != nil {
		return err
	}
	if !found {
		return t.caller.Expects("")
	}
	return t.caller.Expects(m.Tag())
}

// SetMember changes the role of a member. An operator also puts a user into the
// tenant: who is taken into a second one has to name the tenant in every request
// from then on, so no tenant takes in the users of others.
//
// Returns CodeNotFound for a tenant or user that is not there, and for an admin
// the same for a user that is no member; CodeForbidden for whoever is no admin of
// the tenant, CodeConflict when the tenant would lose its last admin by the hand
// of one.
func (d *DB) SetMember(ctx context.Context, c cloud.Caller, now time.Time, tenantID, user string, role cloud.Role) (m cloud.Membership, err error) {
	if err := mayManage(c, tenantID); err != nil {
		return m, err
	}
	if !role.Valid() || role == cloud.RoleOperator {
		return m, invalid("role", "A role in a tenant is viewer, member or admin.")
	}
	err = d.write(ctx, now, c, "member.set", func(t *tx) error {
		u, err := t.manage(tenantID, user)
		if err != nil {
			return err
		}
		if err := t.expectMember(tenantID, u.ID); err != nil {
			return err
		}
		if role != cloud.RoleAdmin {
			if err := t.keepAnAdmin(tenantID, u.ID); err != nil {
				return err
			}
		}
		if err := t.setMember(tenantID, u.ID, role); err != nil {
			return err
		}
		if err := t.touchUsers(`id = ?`, u.ID); err != nil {
			return err
		}
		found, err := memberships(t, `m.tenant_id = ? AND m.user_id = ?`, tenantID, u.ID)
		if err == nil {
			m = found[0]
		}
		return err
	})
	return m, err
}

// RemoveMember takes a user out of a tenant; its tokens for the tenant end. Every
// user may leave, with a token that is for all of its role. Returns what SetMember
// returns.
func (d *DB) RemoveMember(ctx context.Context, c cloud.Caller, now time.Time, tenantID, user string) error {
	if !c.Sees(tenantID) {
		return noTenant(tenantID)
	}
	return d.write(ctx, now, c, "member.remove", func(t *tx) error {
		u, err := t.leaving(tenantID, user)
		if err != nil {
			return err
		}
		if err := t.expectMember(tenantID, u.ID); err != nil {
			return err
		}
		if err := t.keepAnAdmin(tenantID, u.ID); err != nil {
			return err
		}
		n, err := t.exec(`DELETE FROM membership WHERE tenant_id = ? AND user_id = ?`, tenantID, u.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return cloud.Errorf(cloud.CodeNotFound, "The user %s is not in the tenant.", u.Name)
		}
		if err := t.touchUsers(`id = ?`, u.ID); err != nil {
			return err
		}
		return t.revokeTokens(`tenant_id = ? AND user_id = ?`, tenantID, u.ID)
	})
}

// manage finds the user of a change of membership and notes it for the audit.
func (t *tx) manage(tenantID, user string) (cloud.User, error) {
	if _, err := liveTenant(t, tenantID); err != nil {
		return cloud.User{}, err
	}
	if !t.caller.Operator {
		// The same for a user of other tenants and for nobody, and as late: who else is
		// here is not an admin's to know.
		m, in, err := member(t, tenantID, user)
		if err != nil {
			return cloud.User{}, err
		}
		if !in {
			return cloud.User{}, cloud.Errorf(cloud.CodeNotFound, "There is no member %q in this tenant; ask an operator to put a user into it.", user)
		}
		user = m.UserID
	}
	u, err := liveUser(t, user)
	if err == nil {
		t.audited(tenantID, cloud.Ref{Kind: cloud.KindUser, ID: u.ID}, u.Name)
	}
	return u, err
}

// touchUsers makes the tags of users other ones: their memberships, which are shown
// with them, have changed.
func (t *tx) touchUsers(cond string, args ...any) error {
	_, err := t.exec(`
		UPDATE "user"
		SET updated_at = ?,
		    revision = revision + 1
		WHERE deleted_at IS NULL
		  AND `+cond, append([]any{stamp(t.now)}, args...)...)
	return err
}

// leaving is manage for who is taken out: an admin takes out every member, others
// themselves. Whoever may not is told so before anybody is looked up.
func (t *tx) leaving(tenantID, user string) (cloud.User, error) {
	c := t.caller
	if mayNot := mayManage(c, tenantID); mayNot != nil {
		if c.UserID == "" {
			return cloud.User{}, mayNot
		}
		self, err := liveUser(t, c.UserID)
		if err != nil {
			return cloud.User{}, err
		}
		if user != self.ID && user != self.Name {
			return cloud.User{}, mayNot
		}
		if role, _ := memberOf(self, tenantID); role != c.Role || c.Scope != cloud.ScopeAll {
			return cloud.User{}, cloud.Errorf(cloud.CodeForbidden, "This token is for less than you are in the tenant; log in to leave it.")
		}
		user = self.ID
	}
	return t.manage(tenantID, user)
}

// memberOf is the role of a user in a tenant; false for none.
func memberOf(u cloud.User, tenantID string) (cloud.Role, bool) {
	for _, m := range u.Memberships {
		if m.TenantID == tenantID {
			return m.Role, true
		}
	}
	return "", false
}

// keepAnAdmin refuses that an admin leaves the tenant without one. An operator
// may: it can put one back.
func (t *tx) keepAnAdmin(tenantID, userID string) error {
	if t.caller.Operator {
		return nil
	}
	is, err := exists(t, `SELECT 1 FROM membership WHERE tenant_id = ? AND user_id = ? AND role = 'admin'`, tenantID, userID)
	if err != nil || !is {
		return err
	}
	other, err := exists(t, `SELECT 1 FROM membership WHERE tenant_id = ? AND user_id <> ? AND role = 'admin'`, tenantID, userID)
	if err == nil && !other {
		err = cloud.Errorf(cloud.CodeConflict, "This is the tenant's last admin; make another user admin first.")
	}
	return err
}

func (t *tx) setMember(tenantID, userID string, role cloud.Role) error {
	if _, err := liveTenant(t, tenantID); err != nil {
		return err
	}
	_, err := t.exec(`
		INSERT INTO membership (
		  user_id,
		  tenant_id,
		  role,
		  created_at,
		  updated_at
		) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (user_id, tenant_id) DO UPDATE
		SET role = excluded.role,
		    updated_at = excluded.updated_at,
		    revision = membership.revision + 1`,
		userID,
		tenantID,
		string(role),
		stamp(t.now),
		stamp(t.now),
	)
	t.identityChanged = true
	return err
}
