package cloud

import "time"

// Allowance is what is left of the requests that a caller may send.
type Allowance struct {
	Limit int           // the most that may come at once
	Left  int           // of them, after this one
	Full  time.Duration // until all of Limit may come at once again
	Wait  time.Duration // until this one may come; 0: it may now
}
