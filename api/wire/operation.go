package wire

// Operation is the work that one request means. It leaves "running" once and
// never changes again; it is kept for 7 days after that.
type Operation struct {
	ID        string              `json:"id"`
	TenantID  string              `json:"tenant_id"`
	Kind      string              `json:"kind"`      // "instance.create"
	State     string              `json:"state"`     // "running", "succeeded", "failed", "cancelled", "superseded"
	Resources []OperationResource `json:"resources"` // what it is done to
	Progress  *OperationProgress  `json:"progress,omitempty"`
	Problem   *Problem            `json:"problem,omitempty"` // while running: what is in its way just now
	Error     *OperationError     `json:"error,omitempty"`   // why it failed or was superseded
	CreatedBy OperationCreator    `json:"created_by"`
	RequestID string              `json:"request_id,omitempty"` // of the request that began it
	CreatedAt Time                `json:"created_at"`
	UpdatedAt Time                `json:"updated_at"` // the bytes of an import do not count
	EndedAt   Time                `json:"ended_at,omitzero"`
}

// Ended reports whether the operation will not change any more.
func (o Operation) Ended() bool { return o.State != "running" }

// OperationResource is an object that an operation is about.
type OperationResource struct {
	Kind string `json:"kind"` // "instance", "image"
	ID   string `json:"id"`   // may be gone by now
	Name string `json:"name"` // then
}

// OperationProgress is how far an import is.
type OperationProgress struct {
	BytesDone  int64 `json:"bytes_done"`
	BytesTotal int64 `json:"bytes_total"`       // 0: unknown
	Percent    *int  `json:"percent,omitempty"` // absent: unknown
}

// OperationError is why an operation did not end well.
type OperationError struct {
	Code    string `json:"code"` // as in Failure
	Message string `json:"message"`
}

// OperationCreator is who asked for an operation.
type OperationCreator struct {
	UserID   string `json:"user_id,omitempty"`
	UserName string `json:"user_name,omitempty"`
	TokenID  string `json:"token_id,omitempty"`
	Via      string `json:"via"` // "socket" or "token"
}
