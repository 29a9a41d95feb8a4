package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"
	"time"
)

// UsageFact says what a resource was called and how it was labelled from an
// instant on, until its next fact. Reports by label and prices by flavor read
// it: what an object is called today changes no past hour.
type UsageFact struct {
	Seq        int64
	TenantID   string
	Kind       Kind
	ResourceID string
	Name       string
	Flavor     string // "" when the size was given in numbers
	Labels     map[string]string
	Since      time.Time
}

// Same reports whether both say the same, whenever they began.
func (f UsageFact) Same(o UsageFact) bool {
	return f.TenantID == o.TenantID && f.Kind == o.Kind && f.ResourceID == o.ResourceID &&
		f.Name == o.Name && f.Flavor == o.Flavor && maps.Equal(f.Labels, o.Labels)
}

// ClockStep is a jump of the wall clock, as lodge found it.
type ClockStep struct {
	Seq    int64
	HostID string
	At     time.Time // of the ledger, before
	Wall   time.Time // of the machine, behind it
	// Adopted: the ledger's time jumped too, and all that was counted ended at At
	// and went on at Wall. Else it goes on from At, ahead of the machine's.
	Adopted bool
}

// ClockAnchor ties the ledger's time to the host's clock since boot, which no
// step of the wall clock moves: CLOCK_BOOTTIME of clock_gettime(2).
type ClockAnchor struct {
	BootID string // of /proc/sys/kernel/random/boot_id
	Boot   time.Duration
	At     time.Time
}

// KeptClock is the anchor of a host as it is kept, and what else tells of the
// ledger's time.
type KeptClock struct {
	HostID string
	Anchor ClockAnchor
	// Counted is the latest moment that the ledger itself bears: of a row, a step that
	// was followed, the end of the last closed hour. No time may be before it.
	Counted time.Time
	// Looked is as late as the last look at the host is known to be without the
	// anchor: the heartbeat, a step that was followed, the end of the last closed hour.
	Looked time.Time
	Latest time.Time // the latest moment that anything tells of: Looked, Counted and the last event
	// Back is how far the wall clock was behind the ledger's time, as the last step that
	// was not followed says; a boot is a step too, and says nothing of that.
	Back time.Duration
}

// AnchorSlack is how far an anchor may be ahead of all else. Both are written with
// each look at the host; a heartbeat is a little behind while an end that is known
// is not written down yet.
const AnchorSlack = 10 * time.Minute

// Ahead is how far the anchor is ahead of what tells of it; zero when that is not
// more than it may be.
func (c KeptClock) Ahead() time.Duration {
	if d := c.Anchor.At.Sub(c.Latest); d > AnchorSlack {
		return d
	}
	return 0
}

// Behind is how far the anchor is behind the last look, with which it was written;
// zero when that is not more than it may be.
func (c KeptClock) Behind() time.Duration {
	if d := c.Looked.Sub(c.Anchor.At); d > AnchorSlack {
		return d
	}
	return 0
}

// UsageDrop is an interval that would have had no length. It left its numbers
// here when its row went.
type UsageDrop struct {
	Seq        int64 // of the interval that went
	TenantID   string
	ResourceID string
	Slot       string
	Meter      Meter
	Amount     int64
	StartedAt  time.Time
	DroppedAt  time.Time
}

// UsageHour is what a tenant used in one hour: how many lines, the digest of
// them all, and the sums by meter. A later revision is a correction of what was
// found out after the hour was closed.
type UsageHour struct {
	Seq      int64
	Hour     time.Time // its beginning, UTC
	TenantID string
	Revision int
	Lines    int
	Digest   [sha256.Size]byte
	// Totals are amounts times milliseconds, as decimal text: of what runs by
	// meter ("vcpu"), of what is allocated beside it with its state
	// ("vcpu/stopped"). Those of "egress" and "ingress" are bytes.
	Totals   map[string]string
	ClosedAt time.Time
}

// Corrections are what became of closed hours that were computed again.
type Corrections struct {
	Done, Corrected int
	// Refused are those, Hour and TenantID, that come out otherwise and have nothing
	// in the chain that explains it.
	Refused []UsageHour
}

// SealKind says what a link of the ledger's chain covers.
type SealKind string

// The kinds of link.
const (
	SealOpened   SealKind = "opened"   // an interval, when it was opened
	SealInterval SealKind = "interval" // when it was closed
	SealDrop     SealKind = "drop"
	SealFact     SealKind = "fact"
	SealStep     SealKind = "step"
	SealHour     SealKind = "hour"
	SealTraffic  SealKind = "traffic"
)

// Table is where the rows of the kind are.
func (k SealKind) Table() string {
	switch k {
	case SealInterval, SealDrop, SealFact, SealHour, SealTraffic:
		return "usage_" + string(k)
	case SealOpened:
		return "usage_interval"
	case SealStep:
		return "usage_clock_step"
	}
	return string(k)
}

// UsageSeal is a link of the ledger's chain: its hash covers the hash before it
// and the whole row that it names, so that no row can be changed, and none taken
// out or put in, without every later hash becoming another.
type UsageSeal struct {
	N    int64 // counts from 1 without gaps
	Kind SealKind
	Ref  int64 // seq of the row
	Hash [sha256.Size]byte
}

// ParseSeal reads a link as verify prints it, N:HASH, or HASH@N.
func ParseSeal(text string) (s UsageSeal, err error) {
	n, hash, ok := strings.Cut(text, ":")
	if !ok {
		hash, n, ok = strings.Cut(text, "@")
	}
	s.N, err = strconv.ParseInt(n, 10, 64)
	raw, wrong := hex.DecodeString(hash)
	if !ok || err != nil || wrong != nil || s.N < 1 || len(raw) != len(s.Hash) {
		return UsageSeal{}, Invalid([]FieldError{{"head", fmt.Sprintf("The head %q is none; write it as verify prints it, NUMBER:SHA256.", text)}})
	}
	copy(s.Hash[:], raw)
	return s, nil
}

// Seal is the hash of the link behind prev, which is zero for the first one.
func Seal(prev [sha256.Size]byte, kind SealKind, row []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(prev[:])
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(row)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

// row is the values of a row as the chain sees them: a JSON array, so that no
// two of them can run together.
func row(values ...any) []byte {
	b, err := json.Marshal(values)
	if err != nil {
		panic(err) // numbers, text and maps of text always marshal
	}
	return b
}

// Opened is an interval as the chain covers it when it is opened.
func (iv Interval) Opened() []byte {
	return row(iv.Seq, iv.TenantID, iv.ResourceID, iv.Resource, iv.Slot, iv.Meter, iv.Amount, iv.State, iv.StartedAt.UnixMilli())
}

// Sealed is a closed interval as the chain covers it.
func (iv Interval) Sealed() []byte {
	return row(iv.Seq, iv.TenantID, iv.ResourceID, iv.Resource, iv.Slot, iv.Meter, iv.Amount, iv.State,
		iv.StartedAt.UnixMilli(), iv.EndedAt.UnixMilli(), iv.Evidence)
}

// Sealed is the drop as the chain covers it.
func (d UsageDrop) Sealed() []byte {
	return row(d.Seq, d.TenantID, d.ResourceID, d.Slot, d.Meter, d.Amount, d.StartedAt.UnixMilli(), d.DroppedAt.UnixMilli())
}

// Sealed is the fact as the chain covers it.
func (f UsageFact) Sealed() []byte {
	return row(f.Seq, f.TenantID, f.Kind, f.ResourceID, f.Name, f.Flavor, f.Labels, f.Since.UnixMilli())
}

// Sealed is the step as the chain covers it.
func (s ClockStep) Sealed() []byte {
	return row(s.Seq, s.HostID, s.At.UnixMilli(), s.Wall.UnixMilli(), s.Adopted)
}

// Sealed is the row of bytes as the chain covers it.
func (u Traffic) Sealed() []byte {
	return row(u.Seq, u.TenantID, u.ResourceID, u.Slot, u.Meter, u.Bytes, u.StartedAt.UnixMilli(), u.EndedAt.UnixMilli(),
		u.Run.UnixMilli(), u.Device, u.CounterStart, u.CounterEnd)
}

// Sealed is the hour as the chain covers it.
func (h UsageHour) Sealed() []byte {
	return row(h.Seq, h.Hour.UnixMilli(), h.TenantID, h.Revision, h.Lines, h.Digest[:], h.Totals, h.ClosedAt.UnixMilli())
}

// Ledger is the whole ledger as of one moment. Each method calls f with one row
// after the other and ends with the first error.
type Ledger interface {
	Intervals(f func(Interval) error) error // by beginning
	Drops(f func(UsageDrop) error) error
	Facts(f func(UsageFact) error) error
	Steps(f func(ClockStep) error) error
	Hours(f func(UsageHour) error) error    // by hour, tenant and revision
	Recounts(f func(UsageHour) error) error // Hour and TenantID of closed hours that are to be corrected
	Invoices(f func(Invoice) error) error   // with their lines, by number
	// InvoicesByTenant gives them by tenant and number.
	InvoicesByTenant(f func(Invoice) error) error
	// Known is what an invoice had to be made from, of a month: the ledger as it was
	// known at its head. Intervals from next on were not there; 0 leaves out all that
	// the chain does not show to have been there.
	Known(i Invoice, month time.Time, next int64) (LedgerPart, error)
	// Revised reports whether something of a month was found out between two
	// invoices of a tenant.
	Revised(prev, i Invoice, month time.Time) (bool, error)
	// Traffic gives the bytes that belong to an hour, by tenant; none of hours that
	// were closed when bytes were in none.
	Traffic(hour time.Time, f func(Traffic) error) error
	// Seals gives each link with the row that it names, as Sealed makes it; nil
	// when there is no such row.
	Seals(f func(s UsageSeal, row []byte) error) error
	// Unsealed gives what the chain should cover and does not.
	Unsealed(f func(kind SealKind, ref int64) error) error
	// Orphans gives the open intervals of what is not there, or not any more.
	Orphans(f func(Interval) error) error
	// HourKnown is what a revision of an hour had to be made from: what the chain
	// covered then. Revision 0 is the hour of a tenant that had nothing in it. ok is
	// false when nobody can tell.
	HourKnown(h UsageHour) (of HourContent, ok bool, err error)
	// Present gives what is there and could be counted, with what is open of it.
	Present(f func(Present) error) error
	// Clocks gives what is kept of the hosts' clocks.
	Clocks(f func(KeptClock) error) error
	// Misfits gives rows that have no place among the others: of closed hours, of
	// invoices and of the book.
	Misfits(f func(Misfit) error) error
	// Unreadable are the rows that were left out so far, for lodge cannot have written
	// them.
	Unreadable() []UnreadableRow
	// LastSeq is the highest seq that an interval was ever given.
	LastSeq() (int64, error)
	// Closed is from when on and until when hours are closed; zero for none.
	Closed() (from, to time.Time, err error)
}

// Present is an object as it was last seen, with what is open of it.
type Present struct {
	TenantID, ResourceID, Resource string
	CreatedAt                      time.Time
	Readings                       []Reading // what has to be counted of it
	Open                           []Interval
	Ending                         bool // its deletion was asked for: what is counted may have ended
	SizeSettled                    bool // what was seen of it has the size that is wanted
	DiskUnsure                     bool // its disk may be missing
}

// Misfit is a row that has no place among the others, with a sentence.
type Misfit struct {
	Table string
	Row   int64
	Why   string
}

// UnreadableRow is a row that lodge cannot have written.
type UnreadableRow struct {
	Table string
	Row   int64 // its number; 0 when that is not one
	Why   string
}

// HourContent is what an hour is counted from: the intervals that touch it and the
// bytes that belong to it, of one tenant or of several, by tenant.
type HourContent struct {
	Intervals []Interval
	Traffic   []Traffic
}

// ByTenant gives what is of each tenant, in their order.
func (c HourContent) ByTenant() iter.Seq2[string, HourContent] {
	return func(yield func(string, HourContent) bool) {
		for len(c.Intervals)+len(c.Traffic) > 0 {
			tenantID := ""
			if len(c.Intervals) > 0 {
				tenantID = c.Intervals[0].TenantID
			}
			if len(c.Traffic) > 0 && (len(c.Intervals) == 0 || c.Traffic[0].TenantID < tenantID) {
				tenantID = c.Traffic[0].TenantID
			}
			var n, m int
			for n < len(c.Intervals) && c.Intervals[n].TenantID == tenantID {
				n++
			}
			for m < len(c.Traffic) && c.Traffic[m].TenantID == tenantID {
				m++
			}
			if !yield(tenantID, HourContent{c.Intervals[:n], c.Traffic[:m]}) {
				return
			}
			c.Intervals, c.Traffic = c.Intervals[n:], c.Traffic[m:]
		}
	}
}

// CountHour makes an hour of a tenant. It is a pure function of what the hour is
// counted from, so the same comes out whenever it is computed. What is still open
// counts up to the hour's end.
type CountHour func(tenantID string, hour time.Time, of HourContent) UsageHour
