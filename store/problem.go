package store

import "lodge/cloud"

// reconciler is who writes what was seen, for the audit trail.
var reconciler = cloud.Caller{Operator: true, Via: "reconcile"}

// installer makes what is there at the first start.
var installer = cloud.Caller{Operator: true, Via: "installation"}

// sameProblem reports whether a record of the problem would change nothing.
// Since is the store's own and does not count.
func sameProblem(kept, seen *cloud.Problem) bool {
	if kept == nil || seen == nil {
		return kept == seen
	}
	return kept.Code == seen.Code &&
		kept.Message == seen.Message &&
		kept.Attempts == seen.Attempts &&
		stamp(kept.RetryAt) == stamp(seen.RetryAt)
}

// problemEvent appends an event when a problem came, became another, or went.
// A further try that failed the same way is none.
func (t *tx) problemEvent(tenantID string, subject cloud.Ref, name string, before, after *cloud.Problem) error {
	kind := string(subject.Kind)
	switch {
	case after != nil && (before == nil || before.Code != after.Code):
		return t.event(tenantID, subject, name, kind+".problem", after.Message, map[string]string{"code": string(after.Code)})
	case after == nil && before != nil:
		return t.event(tenantID, subject, name, kind+".recovered",
			"The "+kind+" "+name+" has no problem any more.", map[string]string{"code": string(before.Code)})
	}
	return nil
}
