package cloud

import "time"

// Schedule stops instances by label and starts them again, at times of the week.
type Schedule struct {
	ID, TenantID, Name   string
	Selector             string // of labels; never empty
	Start, Stop          string // of cron, five fields
	Zone                 string // of the IANA database, as Europe/Berlin
	Enabled              bool
	Applied              ScheduleDo // what its last time said; "" before the first
	AppliedAt            time.Time
	CheckedAt            time.Time // later times are still to come
	CreatedAt, UpdatedAt time.Time
	DeletedAt            time.Time // it does nothing any more, and goes when Holds is 0
	Revision             int64
	Holds                int // instances that it has stopped and may start again
}

// Off reports whether what it has stopped is to stay so.
func (s Schedule) Off() bool { return s.Enabled && s.Applied == ScheduleStop && s.DeletedAt.IsZero() }

// Owes reports whether it still has to start what it has stopped, or to go.
func (s Schedule) Owes() bool { return !s.Off() && (s.Holds > 0 || !s.DeletedAt.IsZero()) }

// Tag names a version of a schedule as its owner wants it: what it does changes no
// tag.
func (s Schedule) Tag() string { return dated(s.CreatedAt, s.Revision) }

// ScheduleDo is what a schedule does.
type ScheduleDo string

// What a schedule does.
const (
	ScheduleStart ScheduleDo = "start"
	ScheduleStop  ScheduleDo = "stop"
)

// MaxSchedules is how many schedules a tenant has at most.
const MaxSchedules = 50

// ScheduleChange is a PATCH: nil means "as it is".
type ScheduleChange struct {
	Name, Selector, Start, Stop, Zone *string
	Enabled                           *bool
}

// Checked is the schedule with its selector in one form. Its times are not looked
// at. Returns CodeInvalid.
func (s Schedule) Checked() (Schedule, error) {
	bad := ValidateName("name", s.Name)
	if s.Selector == "" {
		bad = append(bad, fieldError("label", "A schedule is of instances with labels; say which, such as \"env=dev\".")...)
	}
	var wrong []FieldError
	s.Selector, wrong = checkSelector("label", s.Selector)
	return s, Invalid(append(bad, wrong...))
}

// Selects reports whether the schedule is about what has the labels.
func (s Schedule) Selects(labels map[string]string) bool {
	sel, err := ParseSelector(s.Selector)
	return err == nil && sel.Fits(labels)
}

// Rest is a time in which a schedule had an instance stopped.
type Rest struct {
	InstanceID, Name, Flavor string
	TenantID                 string
	Labels                   map[string]string
	VCPUs, MemoryMiB         int
	From, Until              time.Time // Until is zero while it goes on
}
