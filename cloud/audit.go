package cloud

import "time"

// AuditEntry is one line of the audit log: who did what, or was refused it.
type AuditEntry struct {
	Seq       int64
	At        time.Time
	TenantID  string // of what it was done to; "" for what is of no tenant
	UserID    string
	UserName  string
	TokenID   string
	Via       string // "socket", "token", "login", "oidc"
	Address   string
	RequestID string
	Action    string // "instance.create"
	Subject   Ref
	Name      string // the subject's name then
	Result    string // "ok", or the code of the refusal
}

// AuditFilter narrows the audit log. Zero values narrow nothing.
type AuditFilter struct {
	TenantID  string
	User      string // id or name
	Action    string
	SubjectID string
	Refused   bool
	Before    int64 // only entries with a smaller Seq
	Limit     int
}
