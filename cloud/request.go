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
	Memberships []Membership // TenantID, by id or name, and Role of each
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

// LabelChange is what a PATCH does to labels; of some objects nothing else can be
// changed.
type LabelChange struct {
	Labels   map[string]*string // merged; a nil value removes the key
	NoLabels bool               // take all of them away; Labels is empty then
}

// InstanceChange is a PATCH: nil means "as it is".
type InstanceChange struct {
	LabelChange
	Name      *string
	VCPUs     *int
	MemoryMiB *int
	Protected *bool
}

// ImageChange is a PATCH of an image: nil means "as it is".
type ImageChange struct {
	LabelChange
	Name      *string
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

// Page asks for a part of a list.
type Page struct {
	Limit  int    // 0: the default
	Cursor string // as given by the part before; "" from the start
	Sort   Sort   // "" is SortCreated
}

// Sort is the order of a list. What is equal comes by id, so that every object
// has one place.
type Sort string

// The orders. Nothing that lodge changes by itself is among them: a list that is
// read in parts would lose what moves.
const (
	SortCreated     Sort = "created_at"
	SortCreatedLast Sort = "-created_at" // the newest first
	SortName        Sort = "name"
	SortNameLast    Sort = "-name"
)

// Sorts are all orders.
func Sorts() []Sort { return []Sort{SortCreated, SortCreatedLast, SortName, SortNameLast} }

// Descending reports whether the list runs backwards.
func (s Sort) Descending() bool { return s == SortCreatedLast || s == SortNameLast }

// ByName reports whether the list runs by name.
func (s Sort) ByName() bool { return s == SortName || s == SortNameLast }

// Filter narrows a list. Zero values do not narrow.
type Filter struct {
	TenantID   string
	Name       string
	NamePrefix string
	State      string
	Labels     Selector
	// After and Before bound the moment of creation; both are left out
	// themselves.
	After, Before time.Time

	// Of instances only.
	ImageID  string
	FlavorID string
	HostID   string
}

// Words are the filter in words: two filters with the same words show the same.
func (f Filter) Words() []string {
	out := []string{f.TenantID, f.Name, f.NamePrefix, f.State, f.Labels.String(), "", "", f.ImageID, f.FlavorID, f.HostID}
	if !f.After.IsZero() {
		out[5] = f.After.UTC().Format(time.RFC3339Nano)
	}
	if !f.Before.IsZero() {
		out[6] = f.Before.UTC().Format(time.RFC3339Nano)
	}
	return out
}

// MaxBulk is how many instances one bulk change changes at most: it holds the
// database for as long.
const MaxBulk = 1000

// BulkChange is one change of all instances that a filter finds.
type BulkChange struct {
	Do     BulkAction
	Force  bool // of a stop: the guest is not asked
	DryRun bool // nothing is changed
	Expect *int // nil: any number
}

// BulkAction is what is done to each of many.
type BulkAction string

// The bulk actions.
const (
	BulkDelete BulkAction = "delete"
	BulkStart  BulkAction = "start"
	BulkStop   BulkAction = "stop"
)

// BulkResult is what a bulk change did, or would do.
type BulkResult struct {
	DryRun    bool
	Matched   int // found, and not so already
	Changed   []BulkItem
	Skipped   []BulkItem // refused one by one, with the reason
	Remaining int        // matched beyond MaxBulk; ask again for them
}

// BulkItem is one of many.
type BulkItem struct {
	ID, Name string
	Refused  *Error // nil: it was changed
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
