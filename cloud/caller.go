package cloud

// Caller is who asks: an explicit argument of every tenant-facing store method.
type Caller struct {
	UserID   string // "" for the operator's socket and for lodge itself
	TenantID string // the tenant the call is made for; "" only for an operator
	Operator bool   // may see and change every tenant's objects
	Via      string // "socket", "token", "reconcile": for the audit trail
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
)
