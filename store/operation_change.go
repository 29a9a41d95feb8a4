package store

import (
	"context"
	"time"

	"lodge/cloud"
)

// beginOperation writes down the work that the caller's wish means, where the
// caller follows what it begins.
func (t *tx) beginOperation(o cloud.Operation) error {
	c := t.caller
	if c.Begin == nil {
		return nil
	}
	o.ID = c.Begin.NewID()
	_, err := t.exec(`
		INSERT INTO operation (
		  id,
		  tenant_id,
		  kind,
		  state,
		  subject_kind,
		  subject_id,
		  name,
		  generation,
		  boots,
		  want_power,
		  want_name,
		  want_vcpus,
		  want_memory_mib,
		  user_id,
		  user_name,
		  token_id,
		  via,
		  request_id,
		  created_at
		) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.ID,
		o.TenantID,
		string(o.Kind),
		string(o.Subject.Kind),
		o.Subject.ID,
		o.Name,
		o.Generation,
		o.Boots,
		string(o.Want.Power),
		o.Want.Name,
		o.Want.VCPUs,
		o.Want.MemoryMiB,
		c.UserID,
		c.UserName,
		c.TokenID,
		c.Via,
		c.RequestID,
		stamp(t.now),
	)
	t.begun = append(t.begun, o.ID)
	return err
}

// joinOperation lets the caller follow what another wish of the same kind has
// begun: its own changed nothing, for it is being done already.
func (t *tx) joinOperation(kind cloud.OperationKind, subjectID string) error {
	if t.caller.Begin == nil {
		return nil
	}
	running, err := runningOn(t, subjectID)
	for _, o := range running {
		if o.Kind == kind {
			t.begun = []string{o.ID}
		}
	}
	return err
}

// runningOn are the operations that run on an object, the oldest first.
func runningOn(s source, subjectID string) ([]cloud.Operation, error) {
	return collect(s, scanOperation, runningQuery, subjectID)
}

// runningQuery reads along the index operation_by_subject: what has ended costs a
// record nothing.
const runningQuery = operationQuery + `
		WHERE o.subject_id = +?
		  AND o.state = 'running'
		ORDER BY o.created_at, o.id`

// judge ends the running operations on an object that have come to an end.
func (t *tx) judge(subjectID string, verdict func(cloud.Operation) (cloud.OperationState, *cloud.OperationError)) error {
	running, err := runningOn(t, subjectID)
	if err != nil {
		return err
	}
	for _, o := range running {
		if state, why := verdict(o); state != cloud.OperationRunning {
			if err := t.endOperation(o, state, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// endOperation writes how an operation ended, with the bytes that had arrived by
// then: its image may not be there any more when it is read.
func (t *tx) endOperation(o cloud.Operation, state cloud.OperationState, why *cloud.OperationError) error {
	var code, message string
	if why != nil {
		code, message = string(why.Code), why.Message
	}
	_, err := t.exec(`
		UPDATE operation
		SET state = ?,
		    error_code = ?,
		    error_message = ?,
		    bytes_done = ?,
		    bytes_total = ?,
		    ended_at = ?
		WHERE id = ?
		  AND state = 'running'`,
		string(state),
		orNull(code),
		message,
		o.BytesDone,
		o.BytesTotal,
		stamp(t.now),
		o.ID,
	)
	t.ended = append(t.ended, o.ID)
	return err
}

// standing is how an instance stands whose seen side is s.
func (s seen) standing(i cloud.Instance) cloud.Standing {
	st := cloud.Standing{
		Wanted:  cloud.OperationWant{Power: s.power, Name: i.Name, VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB},
		Deleted: s.deleted, State: s.state, Observed: s.observed, Boots: s.boots, Decided: s.decided,
	}
	if s.problem != nil && s.problem.RetryAt.IsZero() && !s.ofHost {
		st.Waits = s.problem
	}
	return st
}

// beginOnInstance ends what the newer wish contradicts, and begins its own
// operation.
func (t *tx) beginOnInstance(kind cloud.OperationKind, before cloud.Instance, after *known) error {
	st := after.seen.standing(after.instance)
	err := t.judge(after.instance.ID, func(o cloud.Operation) (cloud.OperationState, *cloud.OperationError) { return o.OnInstance(st) })
	if err != nil {
		return err
	}
	return t.beginOperation(cloud.InstanceOperation(kind, before, after.instance))
}

// beginOnImage ends what the wish contradicts, and begins its own operation.
func (t *tx) beginOnImage(kind cloud.OperationKind, img cloud.Image) error {
	err := t.judge(img.ID, func(o cloud.Operation) (cloud.OperationState, *cloud.OperationError) { return o.OnImage(img) })
	if err != nil {
		return err
	}
	return t.beginOperation(cloud.Operation{
		TenantID: img.TenantID, Kind: kind, Subject: cloud.Ref{Kind: cloud.KindImage, ID: img.ID}, Name: img.Name,
	})
}

// CancelOperation ends a running operation and deletes what it has made so far;
// that is an operation of its own.
//
// Returns CodeNotFound, and CodeConflict for an operation that has ended or whose
// kind or progress does not allow it.
func (d *DB) CancelOperation(ctx context.Context, c cloud.Caller, now time.Time, id string) (o cloud.Operation, err error) {
	err = d.write(ctx, now, c, "operation.cancel", func(t *tx) error {
		if o, err = operation(t, c, id); err != nil {
			return err
		}
		t.audited(o.TenantID, cloud.Ref{Kind: cloud.KindOperation, ID: o.ID}, o.Name)
		if o.Subject.Kind == cloud.KindImage {
			err = t.cancelImport(o)
		} else {
			err = t.cancelInstance(o)
		}
		if err != nil {
			return err
		}
		o, err = operation(t, c, id)
		t.answer = o
		return err
	})
	return o, err
}

func (t *tx) cancelInstance(o cloud.Operation) error {
	state := ""
	k, err := t.instance(o.Subject.ID)
	if err == nil {
		state = string(k.instance.State)
	} else if cloud.CodeOf(err) != cloud.CodeNotFound {
		return err
	}
	if err := o.Cancels(state); err != nil {
		return err
	}
	if err := t.endOperation(o, cloud.OperationCancelled, nil); err != nil {
		return err
	}
	_, err = t.applyWish(k, cloud.OperationInstanceDelete, func(w *wish) error { return t.unwant(w) })
	return err
}

func (t *tx) cancelImport(o cloud.Operation) error {
	img, found, err := imageByID(t, o.Subject.ID)
	if err != nil {
		return err
	}
	if err := o.Cancels(string(img.State)); err != nil {
		return err
	}
	if !found {
		return noImage(o.Subject.ID)
	}
	if err := t.refuseImageInUse(img); err != nil {
		return err
	}
	if err := t.endOperation(o, cloud.OperationCancelled, nil); err != nil {
		return err
	}
	return t.deleteImage(img)
}
