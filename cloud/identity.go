package cloud

import "time"

// Role is what somebody may do. A role includes those before it.
type Role string

// The roles of a tenant, and that of the installation.
const (
	RoleViewer   Role = "viewer"   // sees the tenant's objects
	RoleMember   Role = "member"   // makes, changes and deletes them
	RoleAdmin    Role = "admin"    // decides what the members of the tenant are, and sees what they did
	RoleOperator Role = "operator" // runs the installation: every tenant, and what is of none
)

// Roles are all roles, the least first.
func Roles() []Role { return []Role{RoleViewer, RoleMember, RoleAdmin, RoleOperator} }

// rank is 0 for what is no role.
func (r Role) rank() int {
	for i, known := range Roles() {
		if r == known {
			return i + 1
		}
	}
	return 0
}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r.rank() > 0 }

// Covers reports whether who has r may do what needs the role need.
func (r Role) Covers(need Role) bool { return need.rank() > 0 && r.rank() >= need.rank() }

// Lesser is the smaller of two roles; "" when one of them is none.
func Lesser(a, b Role) Role {
	if a.rank() <= b.rank() {
		return a
	}
	return b
}

// User is a person or a program with a name of its own.
type User struct {
	Meta
	Name        string
	Email       string
	Operator    bool
	HasPassword bool
	Issuer      string // with Subject: who it is at an identity provider; "" for nobody
	Subject     string
	Memberships []Membership
	DeletedAt   time.Time
}

// Membership is a user's role in a tenant.
type Membership struct {
	TenantID   string
	TenantName string
	UserID     string
	UserName   string
	Role       Role // never RoleOperator
	CreatedAt  time.Time
	Revision   int64 // grows by one with every change
}

// Scope narrows what a token may be used for.
type Scope string

// The scopes. The empty one is everything that the role allows.
const (
	ScopeAll   Scope = ""
	ScopeRead  Scope = "read"  // nothing that changes anything
	ScopeUsage Scope = "usage" // usage and prices only, for billing programs
)

// TokenKind tells tokens that were asked for from those that a login gave.
type TokenKind string

// The kinds of tokens.
const (
	TokenAPI     TokenKind = "api"
	TokenSession TokenKind = "session"
)

// Token lets a program call the API. Its secret is shown once and never kept.
type Token struct {
	Meta
	Name       string
	Kind       TokenKind
	TenantID   string // "": of every tenant of its user, or of the installation
	UserID     string // "": made by the operator for a tenant
	UserName   string
	Role       Role // at most; what the user's membership allows may be less
	Scope      Scope
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // to the minute; zero: never
	RevokedAt  time.Time
}

// Identity is who stands behind a token: what a request may be made as.
type Identity struct {
	TokenID     string
	UserID      string
	UserName    string
	Scope       Scope
	Role        Role   // of the token: nothing beyond it
	TenantID    string // "": any of the memberships
	Operator    bool   // the user is one, and the token is for that
	Memberships []Membership
	ExpiresAt   time.Time // zero: never
}

// For is the caller of a request made as the identity for a tenant, by id or
// name; "" takes the token's own tenant, or the only membership. An operator's
// caller is bound to none.
//
// Returns CodeNotFound for a tenant that the identity has no part in, and
// CodeInvalid when the tenant must be named; the caller that comes with the
// latter is of no tenant.
func (id Identity) For(tenantID string) (Caller, error) {
	c := Caller{UserID: id.UserID, UserName: id.UserName, TokenID: id.TokenID, Scope: id.Scope, Via: "token"}
	if id.TenantID != "" {
		c.Bound = Binding{TenantID: id.TenantID, Role: id.Role, Scope: id.Scope}
	}
	if id.Operator {
		c.Operator, c.Role = true, RoleOperator
		return c, nil
	}
	if tenantID == "" {
		tenantID = id.TenantID
	}
	if tenantID == "" && len(id.Memberships) == 1 {
		tenantID = id.Memberships[0].TenantID
	}
	if tenantID == "" {
		c.Role = RoleViewer
		if len(id.Memberships) == 0 {
			return c, Errorf(CodeInvalid, "You belong to no tenant yet; ask an operator or the admin of one.")
		}
		return c, Invalid(fieldError("tenant", "You belong to %d tenants; name the one you mean with tenant.", len(id.Memberships)))
	}
	for _, m := range id.Memberships {
		if (m.TenantID == tenantID || m.TenantName == tenantID) && (id.TenantID == "" || id.TenantID == m.TenantID) {
			c.TenantID, c.Role = m.TenantID, Lesser(id.Role, m.Role)
			return c, nil
		}
	}
	return c, Errorf(CodeNotFound, "There is no tenant %q that you belong to.", tenantID)
}
