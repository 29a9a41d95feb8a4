package cloud

import "time"

// NewTenant is a request to make a tenant. With it come its default network and
// subnet, so the ids of all three are the caller's.
type NewTenant struct {
	ID, NetworkID, SubnetID string
	Name                    string
	Labels                  map[string]string
}

// NewUser is a request to make a user.
type NewUser struct {
	ID          string
	Name        string
	Email       string
	Operator    bool
	Issuer      string // with Subject: who it is at an OpenID issuer; "" for nobody
	Subject     string
	Memberships []Membership // TenantID and Role of each
}

// NewToken is a request to make a token. The secret never gets here.
type NewToken struct {
	ID        string
	Name      string
	Kind      TokenKind
	TenantID  string // "" for all tenants of the user, or for the installation
	UserID    string // "" when the operator makes it for a tenant
	Role      Role
	Scope     Scope
	ExpiresAt time.Time // zero: never
}

// NewImage is a request to make an image.
type NewImage struct {
	ID        string
	TenantID  string
	Name      string
	Labels    map[string]string
	Public    bool
	Default   bool // also true when it is the first image of the installation
	Source    ImageSource
	URL       string
	SHA256    string // "" unknown
	Firmware  Firmware
	User      string
	Protected bool // its deletion is refused until that is changed
}

// NewInstance is a request to make an instance with its root disk and port.
type NewInstance struct {
	ID, VolumeID, PortID string
	TenantID             string
	Name                 string
	Labels               map[string]string
	// Size: the flavor's values, overridden by what is not zero.
	FlavorID  string
	VCPUs     int
	MemoryMiB int
	DiskGiB   int
	Image     string // id or name; "" the default image
	SSHKeys   []string
	UserData  string
	Stopped   bool // made, but not started
	Protected bool // its deletion is refused until that is changed
}

// InstanceChange is a PATCH: nil means "as it is".
type InstanceChange struct {
	Name      *string
	Labels    map[string]*string // merged; a nil value removes the key
	NoLabels  bool               // take all of them away; Labels is empty then
	VCPUs     *int
	MemoryMiB *int
	Protected *bool
}

// ImageChange is a PATCH of an image: nil means "as it is".
type ImageChange struct {
	Name      *string
	Labels    map[string]*string // merged; a nil value removes the key
	NoLabels  bool               // take all of them away; Labels is empty then
	Public    *bool
	Default   *bool
	Protected *bool
}

// PowerChange is what a tenant asks of an instance's power.
type PowerChange string

// The power changes.
const (
	PowerStart  PowerChange = "start"
	PowerStop   PowerChange = "stop"
	PowerReboot PowerChange = "reboot"
)

// Page asks for a part of a list, ordered by creation.
type Page struct {
	Limit  int    // 0: the default
	Cursor string // as given by the part before; "" from the start
}

// Filter narrows a list. Zero values do not narrow.
type Filter struct {
	TenantID string
	Name     string
	State    string
}

// EventFilter narrows the events: oldest first, after a sequence number.
type EventFilter struct {
	TenantID  string
	SubjectID string
	After     int64
	Limit     int
}

// UsageFilter asks for the intervals that touch [From, To).
type UsageFilter struct {
	TenantID   string
	InstanceID string
	From, To   time.Time
}
