package cloud

import "time"

// Event is one thing that happened to an object, in the order it was recorded.
type Event struct {
	Seq      int64 // grows, never reused: a cursor
	At       time.Time
	TenantID string
	Subject  Ref
	Name     string // the object's name then
	Type     string // "instance.running"
	Message  string // a sentence
	Data     map[string]string
}
