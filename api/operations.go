package api

import (
	"context"
	"net/http"
	"time"

	"lodge/api/wire"
	"lodge/cloud"
)

const headerOperation = "Operation-Location"

// maxWait is how long an answer may be held back for an operation to end.
const maxWait = time.Minute

// operationLocation says in the answer where the work that the request began can
// be followed. A request that changed nothing has begun none.
func operationLocation(w http.ResponseWriter, c cloud.Caller) {
	if c.Begin != nil && len(c.Begin.Begun) > 0 {
		operationHeader(w, c.Begin.Begun[0])
	}
}

func operationHeader(w http.ResponseWriter, id string) {
	if id != "" {
		w.Header()[headerOperation] = []string{"/v1/operations/" + id}
	}
}

func (s *server) listOperations(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	q := parseQuery(r, "tenant", "state", "kind", "resource", "limit", "cursor")
	p := q.page()
	f := cloud.OperationFilter{
		State:     cloud.OperationState(q.oneOf("state", words(cloud.OperationStates())...)),
		Kind:      cloud.OperationKind(q.oneOf("kind", words(cloud.OperationKinds())...)),
		SubjectID: q.id("resource"),
	}
	if q.err != nil {
		return q.err
	}
	var err error
	if f.TenantID, err = s.narrow(r, c, q.Get("tenant")); err != nil {
		return err
	}
	items, next, err := s.Operations.Operations(r.Context(), c, f, p)
	if err != nil {
		return err
	}
	return replyList(w, items, next, wireOperation)
}

// words are the values of a closed list as text.
func words[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func (s *server) getOperation(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindOperation)
	if err != nil {
		return err
	}
	q := parseQuery(r, "tenant", "wait")
	wait := q.duration("wait", maxWait)
	if q.err != nil {
		return q.err
	}
	get := s.Operations.Operation
	if wait > 0 {
		get = func(ctx context.Context, c cloud.Caller, id string) (cloud.Operation, error) {
			rise(w) // the store bounds those who wait
			ctx, cancel := s.patience(ctx, wait)
			defer cancel()
			return s.Operations.WaitOperation(ctx, c, id)
		}
	}
	o, err := get(r.Context(), c, id)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, wireOperation(o))
}

// patience ends with the time, with the client, and with lodged.
func (s *server) patience(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, most)
	go func() {
		select {
		case <-s.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// cancelOperation answers with the operation, which has ended; the deletion of
// what it had made is one of its own.
func (s *server) cancelOperation(w http.ResponseWriter, r *http.Request, c cloud.Caller) error {
	id, err := pathID(r, cloud.KindOperation)
	if err != nil {
		return err
	}
	if q := parseQuery(r, "tenant"); q.err != nil {
		return q.err
	}
	var none struct{}
	if err := decodeOptional(w, r, &none); err != nil {
		return err
	}
	o, err := s.Operations.CancelOperation(r.Context(), c, s.Now(), id)
	if err != nil {
		return err
	}
	operationLocation(w, c)
	return reply(w, http.StatusAccepted, wireOperation(o))
}

func wireOperation(o cloud.Operation) wire.Operation {
	out := wire.Operation{
		ID: o.ID, TenantID: o.TenantID, Kind: string(o.Kind), State: string(o.State),
		Resources: []wire.OperationResource{{Kind: string(o.Subject.Kind), ID: o.Subject.ID, Name: o.Name}},
		Problem:   wireProblem(o.Problem),
		CreatedBy: wire.OperationCreator{UserID: o.UserID, UserName: o.UserName, TokenID: o.TokenID, Via: o.Via},
		RequestID: o.RequestID, CreatedAt: wireTime(o.CreatedAt), UpdatedAt: wireTime(o.UpdatedAt), EndedAt: wireTime(o.EndedAt),
	}
	if o.Error != nil {
		out.Error = &wire.OperationError{Code: string(o.Error.Code), Message: o.Error.Message}
	}
	if o.Kind == cloud.OperationImageImport {
		out.Progress = &wire.OperationProgress{BytesDone: o.BytesDone, BytesTotal: o.BytesTotal}
		if o.BytesTotal > 0 {
			percent := int(min(100, 100*o.BytesDone/o.BytesTotal))
			out.Progress.Percent = &percent
		}
	}
	return out
}
