package cloud

// Caller is who asks: an explicit argument of every tenant-facing store method.
type Caller struct {
	UserID   string // "" for the operator's socket and for lodge itself
	UserName string // for the audit log, which outlives the user
	TokenID  string // "" where no token was used
	TenantID string // the tenant the call is made for; "" only for an operator
	Role     Role   // in that tenant; RoleOperator for an operator
	Scope    Scope  // of the token
	Bound    Binding
	Operator bool   // may see and change every tenant's objects
	Via      string // "socket", "token", "reconcile": for the audit trail

	Address   string // the client's, for the audit log; "" on the socket
	RequestID string

	Once  *Once  // nil: each request does what it asks for
	Begin *Begin // nil: nothing that is begun can be followed
	// DryRun has every change checked and made, and then taken back: the store
	// answers with a *Rehearsal.
	DryRun bool
	// IfMatch are tags of which the object must still have one for it to be changed;
	// none: it is changed however it is.
	IfMatch []string
}

// Binding is what a token is bound to, whoever uses it. It is zero for a session
// and for an operator: they are all that their user is.
type Binding struct {
	TenantID string
	Role     Role
	Scope    Scope
}

// Sees reports whether the caller may know of an object of the tenant.
func (c Caller) Sees(tenantID string) bool {
	return c.Operator || (tenantID != "" && tenantID == c.TenantID)
}

// Ref names one object.
type Ref struct {
	Kind Kind
	ID   string
}

// Kind is the kind of an object, as written in events and on the wire.
type Kind string

// The kinds.
const (
	KindTenant   Kind = "tenant"
	KindImage    Kind = "image"
	KindFlavor   Kind = "flavor"
	KindNetwork  Kind = "network"
	KindPort     Kind = "port"
	KindVolume   Kind = "volume"
	KindInstance Kind = "instance"
	KindHost     Kind = "host"
	KindUser     Kind = "user"
	KindToken    Kind = "token"
	KindQuota    Kind = "quota"

	KindOperation Kind = "operation"
)
