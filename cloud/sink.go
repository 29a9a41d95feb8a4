package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// UsageEvent is what a receiver of usage is told, once for each thing that it is
// about: the same has the same ID whenever it is told.
type UsageEvent struct {
	ID      string
	Type    string
	Subject string
	Time    time.Time
	Data    any // marshals as JSON
}

// EventID is made of what an event is about, and of nothing else.
func EventID(about ...any) string {
	sum := sha256.Sum256(row(about...))
	return hex.EncodeToString(sum[:])
}

// SinkHour is the next closed hour for a receiver: of its events it has the first
// Taken already.
type SinkHour struct {
	UsageHour
	HourContent // as it is now
	Taken       int
}

// SinkLag is how far behind a receiver is.
type SinkLag struct {
	Sent       int64     // events it has taken
	SentAt     time.Time // zero: never
	Pending    int64     // closed hours of tenants that it has not taken
	OldestHour time.Time // the first of them
	Since      time.Time // when that was closed; zero: none is pending
}

// SinkState is how a receiver of usage is doing.
type SinkState struct {
	URL     string // without what could be a secret; "" when there is none
	Problem *Problem
	SinkLag
}
