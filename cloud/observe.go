package cloud

import (
	"context"
	"time"
)

// Work is a kind of work whose count and duration the operator can see.
type Work string

// The kinds. What is in brackets is what their name says.
const (
	WorkTransaction Work = "transaction" // of the store, the wait for the writer included (what changes)
	WorkCommit      Work = "commit"      // the end of one, which waits for the disk
	WorkTurn        Work = "turn"        // of reconcile on one object (the object's kind)
	WorkStep        Work = "step"        // one call to a hand (its verb)
	WorkSweep       Work = "sweep"       // a look at everything
	WorkCall        Work = "call"        // to libvirt (what for)
	WorkClose       Work = "close"       // of one hour of usage
	WorkDelivery    Work = "delivery"    // one attempt to tell a webhook
	WorkExport      Work = "export"      // one request to the receiver of usage
	WorkBudget      Work = "budget"      // a look at one budget
)

// Observe hears that work begins and gives back the context that it goes on
// with and the func to call with its outcome, once. name is one of few words:
// never an id. detail is for people and may be anything, the id above all. nil
// is a listener that does nothing and costs nothing.
type Observe func(ctx context.Context, w Work, name, detail string) (context.Context, func(error))

// Begin tells o, when there is somebody.
func (o Observe) Begin(ctx context.Context, w Work, name, detail string) (context.Context, func(error)) {
	if o == nil {
		return ctx, ignore
	}
	return o(ctx, w, name, detail)
}

func ignore(error) {}

// Answered is what became of a request.
type Answered struct {
	// Method and Route are those of the list of routes, never what the client
	// wrote; empty when none fits.
	Method, Route string
	TenantID      string // the tenant it is about; "" for an operator's that is about none, or that failed before lodge knew
	Status        int    // 0 when there was no answer
	NoRoom        bool   // its body found none
	Busy          bool   // too much was in work
	Took          time.Duration
}

// Census is how much there is of everything, all tenants together.
type Census struct {
	Tenants   int64
	Instances map[State]int64
	Images    map[ImageState]int64
	Problems  map[Kind]map[Code]int64
	Orphans   map[OrphanKind]int64 // on the hosts and in no row
	// Heartbeats is when the guests of each host, by its name, were last looked
	// at. Usage is proven up to then.
	Heartbeats map[string]time.Time
}

// StoreStats is the state of the store's files and of its one writer.
type StoreStats struct {
	DatabaseBytes int64
	WALBytes      int64
	Waits         int64         // how often a change had to wait for another one
	Waited        time.Duration // all together
}

// LoopStats is how much reconcile has to do.
type LoopStats struct {
	Queued   int   // objects that wait for a worker
	Busy     int   // objects that are worked on
	Waiting  int   // objects whose time comes later
	Backoffs int64 // failures that are tried again later, since the start
}

// TraceStats is what became of the spans since the start.
type TraceStats struct {
	Sent    int64 // the collector has them
	Failed  int64 // it could not be reached, or did not want them
	Dropped int64 // too many waited
	Waiting int64 // to be sent
}

// LinkStats is the link to libvirt.
type LinkStats struct {
	Up          bool
	Connections int // that are open, the watching one included
	Calls       int // under way
	Dialed      int64
}

// BackupStats is what the scheduled backups came to.
type BackupStats struct {
	Last     time.Time // the newest that is kept; zero: none is known
	Failed   bool      // the last try
	Failures int64     // since the start
	Bytes    int64     // of the newest
}

// LedgerStats is the state of the usage ledger.
type LedgerStats struct {
	ClosedUntil time.Time // zero: no hour is closed
	Links       int64     // of the chain
	Pending     int64     // closed hours of tenants that wait for their correction
	Invoices    int64
}

// Act is something that a budget or a schedule does by itself.
type Act struct {
	By   Kind // KindBudget or KindSchedule
	What string
}

// What budgets and schedules do. Only budgets cross and lift.
const (
	ActCrossed = "crossed" // a threshold was reached
	ActLifted  = "lifted"  // what it did is taken back
	ActStopped = "stopped" // an instance was stopped, or
	ActStarted = "started" // started again
)

// ActStats is the state of what acts by itself, and of what it tells.
type ActStats struct {
	Budgets, Schedules int64
	InForce            map[BudgetAction]int64 // thresholds that were crossed
	Held               map[Kind]int64         // instances that are stopped, by what
	// Overdue is when the stop of a budget was due that has waited longest; zero:
	// none is.
	Overdue time.Time
	Acts    map[Act]int64 // since lodged was started

	Pending  int64     // messages that wait for their webhooks
	Failing  int64     // those of them that were tried in vain
	Oldest   time.Time // when the oldest of them was written; zero: none waits
	GivenUp  int64     // messages that were given up in the last 24 hours
	Webhooks int64
}
