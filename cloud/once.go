package cloud

import "fmt"

// Once makes a change happen at most once, however often its request is sent:
// its answer is kept in the change's own transaction.
type Once struct {
	Key     string                      // a hash of the client's Idempotency-Key
	Request func() string               // a hash of what is asked for, known once the body was read
	Render  func(v any) (Answer, error) // the answer, from what the change returns
	// Open undoes what Render did to a body with a secret in it: what is kept is of
	// no use to whoever reads the database. Nil: nothing.
	Open func(body []byte) ([]byte, error)
}

// Issued is a token on its way to its owner: the only time that its secret is
// beside it.
type Issued struct {
	Token
	User   User // of a session
	Secret string
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
