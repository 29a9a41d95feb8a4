package store

import "lodge/cloud"

// rehearsal tells what the transaction has done, which ends with it. What the
// tenant has without it is read beside it: nobody else writes meanwhile.
func (t *tx) rehearsal(action string, committed source) error {
	r := &cloud.Rehearsal{Action: action, Object: t.answer}
	tenantID := t.subject.tenantID
	if tenantID == "" {
		return r
	}
	var err error
	if r.Before, err = usedBy(committed, tenantID, t.now); err != nil {
		return err
	}
	if r.After, err = usedBy(t, tenantID, t.now); err != nil {
		return err
	}
	for res, n := range t.freed {
		r.After[res] -= n
	}
	if r.Limits, _, err = limitsOf(t, tenantID); err != nil {
		return err
	}
	return r
}
