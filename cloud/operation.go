package cloud

import (
	"fmt"
	"time"
)

// OperationKept is how long an operation is kept after its end.
const OperationKept = 7 * 24 * time.Hour

// OperationKind is what an operation does, and to what.
type OperationKind string

// The kinds of operations.
const (
	OperationInstanceCreate OperationKind = "instance.create"
	OperationInstanceUpdate OperationKind = "instance.update" // what the host has to know: name and size
	OperationInstanceStart  OperationKind = "instance.start"
	OperationInstanceStop   OperationKind = "instance.stop"
	OperationInstanceReboot OperationKind = "instance.reboot"
	OperationInstanceDelete OperationKind = "instance.delete"
	OperationImageImport    OperationKind = "image.import"
	OperationImageDelete    OperationKind = "image.delete"
)

// OperationKinds returns every kind, in the order of the documentation.
func OperationKinds() []OperationKind {
	return []OperationKind{
		OperationInstanceCreate, OperationInstanceUpdate, OperationInstanceStart, OperationInstanceStop,
		OperationInstanceReboot, OperationInstanceDelete, OperationImageImport, OperationImageDelete,
	}
}

// OperationState is what has become of an operation. It leaves OperationRunning
// once and never changes again.
type OperationState string

// The states of an operation.
const (
	OperationRunning    OperationState = "running"
	OperationSucceeded  OperationState = "succeeded"
	OperationFailed     OperationState = "failed"     // lodge does not try it again by itself; Error says why
	OperationCancelled  OperationState = "cancelled"  // somebody cancelled it
	OperationSuperseded OperationState = "superseded" // a newer wish took its place; Error says which
)

// OperationStates returns every state, in the order of the documentation.
func OperationStates() []OperationState {
	return []OperationState{OperationRunning, OperationSucceeded, OperationFailed, OperationCancelled, OperationSuperseded}
}

// Operation is the work that one wish means. It is written with the wish, and
// ends with the record of its outcome.
type Operation struct {
	ID       string
	TenantID string
	Kind     OperationKind
	State    OperationState
	Subject  Ref    // what it is done to
	Name     string // the subject's name then

	// What it has come true by. Zero values ask for nothing.
	Generation int64 // the wish that has to be observed
	Boots      int64 // the reboots that have to be observed
	Want       OperationWant

	Problem    *Problem        // while running: what is in its way just now
	Error      *OperationError // once ended other than well
	BytesDone  int64           // of an import
	BytesTotal int64           // 0: unknown

	UserID, UserName, TokenID, Via, RequestID string // who asked, and by which request

	CreatedAt time.Time
	UpdatedAt time.Time // of what is shown here, but for the bytes of an import
	EndedAt   time.Time // zero: running
}

// OperationWant is what an operation asks for that a newer wish may contradict.
type OperationWant struct {
	Power     Power
	Name      string
	VCPUs     int
	MemoryMiB int
}

// OperationError says why an operation did not end well.
type OperationError struct {
	Code    Code
	Message string
}

// OperationFilter narrows a list of operations. Zero values do not narrow.
type OperationFilter struct {
	TenantID  string
	State     OperationState
	Kind      OperationKind
	SubjectID string
}

// Begin lets the change of a caller begin operations. Without it the change is
// made, and there is no operation to follow.
type Begin struct {
	NewID func() string // an id for the next one
	Begun []string      // the ones to follow, written by the store once they are committed
}

// InstanceOperation is what the change of an instance from one wish to a newer
// one begins. The id, the caller and the times are the store's to fill in.
func InstanceOperation(kind OperationKind, before, after Instance) Operation {
	o := Operation{
		Kind: kind, State: OperationRunning, TenantID: after.TenantID,
		Subject: Ref{Kind: KindInstance, ID: after.ID}, Name: after.Name, Generation: after.Generation,
	}
	switch kind {
	case OperationInstanceReboot:
		o.Boots, o.Want.Power = after.Boots, after.Power
	case OperationInstanceStart, OperationInstanceStop:
		o.Want.Power = after.Power
	case OperationInstanceUpdate:
		if before.Name != after.Name {
			o.Want.Name = after.Name
		}
		if before.VCPUs != after.VCPUs {
			o.Want.VCPUs = after.VCPUs
		}
		if before.MemoryMiB != after.MemoryMiB {
			o.Want.MemoryMiB = after.MemoryMiB
		}
	}
	return o
}

// Standing is an instance as far as its operations go by it.
type Standing struct {
	Wanted  OperationWant // of everything, as it is now
	Deleted bool

	State    State
	Observed int64    // generation
	Boots    int64    // observed
	Decided  int64    // the generation that was last acted on
	Waits    *Problem // that lodge does not try to mend by itself, and that is not the host's; nil: none
}

// OnInstance says what has become of a running operation on an instance that
// stands like s: OperationRunning when it goes on.
func (o Operation) OnInstance(s Standing) (OperationState, *OperationError) {
	if o.Kind == OperationInstanceDelete {
		if s.State == StateGone {
			return OperationSucceeded, nil
		}
	} else if why := o.contradicted(s); why != "" {
		return OperationSuperseded, &OperationError{Code: CodeConflict, Message: why}
	} else if s.Observed >= o.Generation && s.Boots >= o.Boots && o.stands(s) {
		return OperationSucceeded, nil
	}
	// A problem of an older wish says nothing of this one.
	if s.Waits != nil && s.Decided >= o.Generation {
		return OperationFailed, &OperationError{Code: s.Waits.Code, Message: s.Waits.Message}
	}
	return OperationRunning, nil
}

// contradicted says which newer wish keeps the operation from coming true, ""
// when none does.
func (o Operation) contradicted(s Standing) string {
	switch w := o.Want; {
	case s.Deleted || s.State == StateGone:
		return "The instance was deleted meanwhile."
	case w.Power != "" && w.Power != s.Wanted.Power:
		return fmt.Sprintf("The instance is meant to be %s meanwhile.", s.Wanted.Power)
	case w.Name != "" && w.Name != s.Wanted.Name:
		return fmt.Sprintf("The instance was renamed to %s meanwhile.", s.Wanted.Name)
	case w.VCPUs != 0 && w.VCPUs != s.Wanted.VCPUs, w.MemoryMiB != 0 && w.MemoryMiB != s.Wanted.MemoryMiB:
		return fmt.Sprintf("The instance was given another size meanwhile: %d vCPU, %d MiB memory.", s.Wanted.VCPUs, s.Wanted.MemoryMiB)
	}
	return ""
}

// stands reports whether the instance is in the state that the operation leads
// to. A create leads to whatever is wanted by then: the instance is made.
func (o Operation) stands(s Standing) bool {
	power := o.Want.Power
	switch o.Kind {
	case OperationInstanceUpdate:
		return true
	case OperationInstanceCreate:
		power = s.Wanted.Power
	}
	if power == PowerOn {
		return s.State == StateRunning
	}
	return s.State == StateStopped || s.State == StateSleeping
}

// OnImage says what has become of a running operation on an image:
// OperationRunning when it goes on.
func (o Operation) OnImage(i Image) (OperationState, *OperationError) {
	switch {
	case o.Kind == OperationImageDelete:
		if i.State == ImageGone {
			return OperationSucceeded, nil
		}
	case i.State == ImageActive:
		return OperationSucceeded, nil
	case !i.DeletedAt.IsZero() || i.State == ImageGone:
		return OperationSuperseded, &OperationError{Code: CodeConflict, Message: "The image was deleted meanwhile."}
	case i.State == ImageError:
		e := &OperationError{Code: CodeInternal, Message: "The image could not be imported."}
		if i.Problem != nil {
			e.Code, e.Message = i.Problem.Code, i.Problem.Message
		}
		return OperationFailed, e
	}
	return OperationRunning, nil
}

// Cancels returns nil when the operation can be cancelled by deleting what it
// has made so far, the subject being in the given state, and CodeConflict with
// what to do instead when it cannot.
func (o Operation) Cancels(subject string) error {
	switch {
	case o.State != OperationRunning:
		return Errorf(CodeConflict, "The operation has ended already (%s), so it cannot be cancelled.", o.State)
	case o.Kind == OperationInstanceCreate:
		if s := State(subject); s == StateRequested || s == StateBuilding {
			return nil
		}
		return Errorf(CodeConflict, "The instance %s is built already; delete it instead.", o.Name)
	case o.Kind == OperationImageImport:
		return nil
	}
	return Errorf(CodeConflict, "An operation %s cannot be cancelled; ask for what you want instead, and the newer wish takes its place.", o.Kind)
}
