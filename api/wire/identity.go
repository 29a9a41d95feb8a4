package wire

// User is a person or a program with a name of its own.
type User struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Email       string       `json:"email,omitempty"`
	Operator    bool         `json:"operator"`
	HasPassword bool         `json:"has_password"`
	Issuer      string       `json:"issuer,omitempty"`  // with Subject: who it is at an identity provider
	Subject     string       `json:"subject,omitempty"` // there
	Memberships []Membership `json:"memberships"`       // empty in lists
	CreatedAt   Time         `json:"created_at"`
	UpdatedAt   Time         `json:"updated_at"`
	Revision    int64        `json:"revision"`
}

// CreateUser asks for a user. Without a password it logs in by OpenID or has
// tokens only.
type CreateUser struct {
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	Password string `json:"password,omitempty"`
	Operator bool   `json:"operator,omitempty"`
	Tenant   string `json:"tenant,omitempty"` // id or name of the tenant it joins
	Role     string `json:"role,omitempty"`   // in that tenant; "" member
}

// SetPassword gives a user another password.
type SetPassword struct {
	Password string `json:"password"`
	Current  string `json:"current,omitempty"` // the present one; needed for one's own
}

// Membership is a user's role in a tenant.
type Membership struct {
	TenantID   string `json:"tenant_id"`
	TenantName string `json:"tenant_name"`
	UserID     string `json:"user_id"`
	UserName   string `json:"user_name"`
	Role       string `json:"role"` // "viewer", "member" or "admin"
	CreatedAt  Time   `json:"created_at"`
}

// SetMember says a user's role in a tenant.
type SetMember struct {
	Role string `json:"role"`
}

// Token lets a program call the API. Its secret is in the answer to its making
// only.
type Token struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Kind       string `json:"kind"` // "api" or "session"
	TenantID   string `json:"tenant_id,omitempty"`
	UserID     string `json:"user_id,omitempty"`
	UserName   string `json:"user_name,omitempty"`
	Role       string `json:"role"`  // at most
	Scope      string `json:"scope"` // "all", "read" or "usage"
	Secret     string `json:"secret,omitempty"`
	CreatedAt  Time   `json:"created_at"`
	ExpiresAt  Time   `json:"expires_at,omitzero"`   // absent: never
	LastUsedAt Time   `json:"last_used_at,omitzero"` // to the minute; absent: never
}

// CreateToken asks for a token.
type CreateToken struct {
	Name      string `json:"name"`
	Tenant    string `json:"tenant,omitempty"`
	Role      string `json:"role,omitempty"`       // "" the caller's own
	Scope     string `json:"scope,omitempty"`      // "" all
	ExpiresIn string `json:"expires_in,omitempty"` // "90d", "12h"; "" 90 days
}

// Login asks for a session.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Session is what a login gives.
type Session struct {
	Token string `json:"token"` // the secret: shown once
	ID    string `json:"id"`
	User  User   `json:"user"`
	// ExpiresAt is when the next login is due.
	ExpiresAt Time `json:"expires_at"`
}

// Whoami is who the caller is to lodge.
type Whoami struct {
	UserID      string       `json:"user_id,omitempty"`
	UserName    string       `json:"user_name,omitempty"`
	TokenID     string       `json:"token_id,omitempty"`
	TenantID    string       `json:"tenant_id,omitempty"`
	Role        string       `json:"role"`
	Scope       string       `json:"scope"`
	Operator    bool         `json:"operator"`
	Via         string       `json:"via"` // "socket" or "token"
	Memberships []Membership `json:"memberships"`
}

// AuditEntry is one line of the audit log.
type AuditEntry struct {
	Seq         int64  `json:"seq"`
	At          Time   `json:"at"`
	TenantID    string `json:"tenant_id,omitempty"`
	UserID      string `json:"user_id,omitempty"`
	UserName    string `json:"user_name,omitempty"`
	TokenID     string `json:"token_id,omitempty"`
	Via         string `json:"via"`
	Address     string `json:"address,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
	Action      string `json:"action"`
	SubjectKind string `json:"subject_kind,omitempty"`
	SubjectID   string `json:"subject_id,omitempty"`
	Name        string `json:"name,omitempty"`
	Result      string `json:"result"` // "ok" or an error code
}

// Quota is what a tenant may have of a resource, and has.
type Quota struct {
	Resource string `json:"resource"`
	Limit    *int64 `json:"limit"`   // null: none
	Default  bool   `json:"default"` // the limit is the installation's
	Used     int64  `json:"used"`
}

// SetQuotas changes limits; null takes one away.
type SetQuotas struct {
	Limits map[string]*int64 `json:"limits"`
}
