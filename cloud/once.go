package cloud

import "fmt"

// Once makes a change happen at most once, however often its request is sent:
// its answer is kept in the change's own transaction.
type Once struct {
	Key     string                      // a hash of the client's Idempotency-Key
	Request func() string               // a hash of what is asked for, known once the body was read
	Render  func(v any) (Answer, error) // the answer, from what the change returns
}

// Answer is an HTTP answer as it is kept.
type Answer struct {
	Status   int
	Location string
	Body     []byte
	// Operation is the id of the operation that was begun; "" when none was. The
	// store fills it in.
	Operation string
}

// Replay says that the change was made before. It is an error so that it ends
// whatever was about to be done again.
type Replay struct{ Answer }

func (r *Replay) Error() string { return fmt.Sprintf("answered before with %d", r.Status) }
