package store

import (
	"context"
	"maps"
	"time"

	"lodge/cloud"
)

// changeInstance runs one change of a wish: it finds the instance for the
// caller, lets change alter what is wanted, and writes that when something was.
// It returns the instance as it is then.
func (d *DB) changeInstance(ctx context.Context, c cloud.Caller, now time.Time, what, id string, change func(*tx, *wish) error) (cloud.Instance, error) {
	var k *known
	err := d.write(ctx, now, c, what, func(t *tx) (err error) {
		if k, err = t.instance(id); err != nil {
			return err
		}
		if !c.Sees(k.instance.TenantID) {
			return noInstance(id)
		}
		if err := c.Expects(k.instance.Tag()); err != nil {
			return err
		}
		k, err = t.applyWish(k, cloud.OperationKind(what), func(w *wish) error { return change(t, w) })
		if err == nil {
			t.answer = k.instance
		}
		return err
	})
	if err != nil {
		return cloud.Instance{}, err
	}
	d.cache.put(k)
	return k.instance, nil
}

// applyWish lets change alter what is wanted of an instance, writes that when
// something was, with the operation that it begins, and returns the instance as
// it is then.
func (t *tx) applyWish(k *known, kind cloud.OperationKind, change func(*wish) error) (*known, error) {
	w := &wish{Instance: k.instance}
	if err := change(w); err != nil {
		return nil, err
	}
	if !w.changed {
		return k, t.joinOperation(kind, w.ID)
	}
	if err := t.writeWish(w); err != nil {
		return nil, err
	}
	if err := t.keepRest(k.instance, w.Instance); err != nil {
		return nil, err
	}
	after, err := t.instance(w.ID)
	if err != nil {
		return after, err
	}
	if is := instanceFact(after.instance); !is.Same(instanceFact(k.instance)) {
		if err := t.fact(is); err != nil {
			return after, err
		}
	}
	if !w.newer {
		return after, nil
	}
	return after, t.beginOnInstance(kind, k.instance, after)
}

// wish is an instance whose wanted side is being changed.
type wish struct {
	cloud.Instance
	changed bool // the row has to be written
	newer   bool // reconcile has something new to do
}

// want marks the wish as changed in a way that reconcile has to see.
func (w *wish) want() {
	w.changed, w.newer = true, true
}

// writeWish writes the wanted columns, and only those.
func (t *tx) writeWish(w *wish) error {
	if w.newer {
		w.Generation++
		t.wished = true
	}
	_, err := t.exec(`
		UPDATE instance
		SET name = ?,
		    labels = ?,
		    flavor_id = ?,
		    vcpus = ?,
		    memory_mib = ?,
		    generation = ?,
		    power = ?,
		    power_force = ?,
		    power_at = ?,
		    boots = ?,
		    wished_at = CASE WHEN generation = ? THEN wished_at ELSE ? END,
		    protected = ?,
		    stopped_by = ?,
		    stopped_by_id = ?,
		    deleted_at = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`,
		w.Name,
		asJSON(w.Labels),
		w.FlavorID,
		w.VCPUs,
		w.MemoryMiB,
		w.Generation,
		string(w.Power),
		w.PowerForce,
		stamp(w.PowerAt),
		w.Boots,
		w.Generation,
		stamp(t.now),
		w.Protected,
		string(w.StoppedBy.Kind),
		w.StoppedBy.ID,
		stamp(w.DeletedAt),
		stamp(t.now),
		w.ID,
	)
	return err
}

func (t *tx) wishEvent(w *wish, typ, message string) error {
	return t.event(w.TenantID, cloud.Ref{Kind: cloud.KindInstance, ID: w.ID}, w.Name, typ, message, nil)
}

func (w *wish) refuseDeleted() error {
	if w.DeletedAt.IsZero() {
		return nil
	}
	return cloud.Errorf(cloud.CodeConflict, "The instance %s is being deleted and takes no more changes.", w.Name)
}

// UpdateInstance changes name, size, labels or protection; what is nil in the change stays.
// A new size is used from the guest's next start on.
//
// Returns CodeNotFound, CodeNameTaken, CodeInvalid for a size of nothing and for
// more labels than an object has, CodeCapacity for a size that the host could not
// run, CodeBudget for a size or labels that one does not allow, and CodeConflict
// for an instance that is being deleted or has another revision than the change
// names.
func (d *DB) UpdateInstance(ctx context.Context, c cloud.Caller, now time.Time, id string, ch cloud.InstanceChange) (cloud.Instance, error) {
	return d.changeInstance(ctx, c, now, "instance.update", id, func(t *tx, w *wish) error {
		if err := w.refuseDeleted(); err != nil {
			return err
		}
		if err := t.rename(w, ch.Name); err != nil {
			return err
		}
		if err := t.resize(w, ch); err != nil {
			return err
		}
		if err := t.relabelInstance(w, ch.LabelChange); err != nil {
			return err
		}
		w.protect(ch.Protected)
		if !w.changed {
			return nil
		}
		return t.wishEvent(w, "instance.updated", "The instance "+w.Name+" was changed.")
	})
}

func (t *tx) rename(w *wish, name *string) error {
	if name == nil || *name == w.Name {
		return nil
	}
	if err := t.refuseInstanceName(w.TenantID, *name); err != nil {
		return err
	}
	w.Name = *name
	w.want()
	return t.renamePortsOf(w.ID, w.Name)
}

func (t *tx) resize(w *wish, ch cloud.InstanceChange) error {
	vcpus, memory := w.VCPUs, w.MemoryMiB
	if ch.VCPUs != nil {
		vcpus = *ch.VCPUs
	}
	if ch.MemoryMiB != nil {
		memory = *ch.MemoryMiB
	}
	if vcpus == w.VCPUs && memory == w.MemoryMiB {
		return nil
	}
	if vcpus <= 0 {
		return invalid("vcpus", "An instance needs at least one vCPU.")
	}
	if memory <= 0 {
		return invalid("memory_mib", "An instance needs memory; give memory_mib.")
	}
	h, err := host(t, w.HostID)
	if err != nil {
		return err
	}
	if vcpus > w.VCPUs || memory > w.MemoryMiB {
		if err := t.refuseBudget(w.TenantID, w.Labels); err != nil {
			return err
		}
	}
	err = t.refuseQuota(w.TenantID, cloud.Amounts{
		cloud.ResourceVCPUs: int64(vcpus - w.VCPUs), cloud.ResourceMemory: int64(memory - w.MemoryMiB),
	})
	if err != nil {
		return err
	}
	had := cloud.Need{VCPUs: max(w.VCPUs, w.RunningVCPUs), MemoryMiB: max(w.MemoryMiB, w.RunningMemoryMiB)}
	if err := h.Refuses(cloud.Need{VCPUs: vcpus, MemoryMiB: memory, DiskGiB: w.DiskGiB}, had); err != nil {
		return err
	}
	w.VCPUs, w.MemoryMiB = vcpus, memory
	w.FlavorID = "" // it is of no flavor any more, and is not billed as one
	w.want()
	return nil
}

// relabelInstance merges labels; nil removes a key. Reconcile does not look at
// them. Returns CodeInvalid when there would be too many, CodeBudget as
// refuseLabels says.
func (t *tx) relabelInstance(w *wish, change cloud.LabelChange) error {
	labels, err := relabelled(w.Labels, change)
	if err != nil || maps.Equal(labels, w.Labels) {
		return err
	}
	if err := t.refuseLabels(w, labels); err != nil {
		return err
	}
	w.Labels, w.changed = labels, true
	return t.leaveBudget(w)
}

// relabelled are the labels with a change merged in. Returns CodeInvalid when
// there would be too many.
func relabelled(labels map[string]string, change cloud.LabelChange) (map[string]string, error) {
	after := maps.Clone(labels)
	if after == nil || change.NoLabels {
		after = make(map[string]string)
	}
	for key, value := range change.Labels {
		if value == nil {
			delete(after, key)
		} else {
			after[key] = *value
		}
	}
	if len(after) > cloud.MaxLabels && len(after) > len(labels) {
		return nil, invalid("labels", "An object has at most %d labels; with this change it would have %d.", cloud.MaxLabels, len(after))
	}
	return after, nil
}

// protect says whether the instance may be deleted. Reconcile does not look at
// it.
func (w *wish) protect(want *bool) {
	if want != nil && *want != w.Protected {
		w.Protected, w.changed = *want, true
	}
}

// PowerInstance changes the wanted power. What is wanted already is no change,
// but a start or stop of an instance with a problem is tried again at once.
//
// Returns CodeNotFound, CodeBudget where one is used up and does not allow a
// start or a reboot that would make it larger, and CodeConflict for an instance that is being deleted
// and for a reboot of one that is wanted stopped.
func (d *DB) PowerInstance(ctx context.Context, c cloud.Caller, now time.Time, id string, p cloud.PowerChange, force bool) (cloud.Instance, error) {
	return d.changeInstance(ctx, c, now, "instance."+string(p), id, func(t *tx, w *wish) error {
		return t.powerInstance(w, p, force)
	})
}

// powerInstance is what PowerInstance does to one, and a bulk change to each.
func (t *tx) powerInstance(w *wish, p cloud.PowerChange, force bool) error {
	if err := w.refuseDeleted(); err != nil {
		return err
	}
	switch p {
	case cloud.PowerStart:
		if w.Power == cloud.PowerOff {
			if err := t.refuseBudget(w.TenantID, w.Labels); err != nil {
				return err
			}
		}
		w.start(t.now)
	case cloud.PowerStop:
		w.stop(t.now, force)
	case cloud.PowerReboot:
		if w.growsByReboot() {
			if err := t.refuseBudget(w.TenantID, w.Labels); err != nil {
				return err
			}
		}
		if err := w.reboot(t.now, force); err != nil {
			return err
		}
	default:
		return invalid("action", "There is no power change %q; use start, stop or reboot.", p)
	}
	if !w.changed {
		return nil
	}
	how := ""
	if force && p != cloud.PowerStart {
		how = " by force"
	}
	return t.wishEvent(w, "instance."+string(p), "A "+string(p)+how+" of the instance "+w.Name+" was asked for.")
}

func (w *wish) start(now time.Time) {
	if w.Power == cloud.PowerOn {
		if w.Problem != nil {
			w.want()
		}
		return
	}
	w.Power, w.PowerForce, w.PowerAt, w.StoppedBy = cloud.PowerOn, false, now, cloud.Ref{}
	w.want()
}

func (w *wish) stop(now time.Time, force bool) {
	if w.StoppedBy != (cloud.Ref{}) { // now it is wished by somebody, who alone starts it
		w.StoppedBy, w.changed = cloud.Ref{}, true
	}
	if w.Power == cloud.PowerOff && (w.PowerForce || !force) {
		if w.Problem != nil {
			w.want()
		}
		return
	}
	if w.Power == cloud.PowerOn {
		w.PowerAt = now
	}
	w.Power, w.PowerForce = cloud.PowerOff, force
	w.want()
}

// growsByReboot reports whether a larger size waits for the guest's next start,
// which a reboot then is.
func (w *wish) growsByReboot() bool {
	return w.RunningVCPUs > 0 && (w.VCPUs > w.RunningVCPUs || w.MemoryMiB > w.RunningMemoryMiB)
}

func (w *wish) reboot(now time.Time, force bool) error {
	if w.Power != cloud.PowerOn {
		return cloud.Errorf(cloud.CodeConflict, "The instance %s is stopped, so it cannot be rebooted; start it instead.", w.Name)
	}
	w.Boots++
	w.PowerForce, w.PowerAt = force, now
	w.want()
	return nil
}

// DeleteInstance says that the instance and its root disk are not wanted any
// more: its guest is not asked. Asked again it changes nothing.
//
// Returns CodeNotFound once the instance is gone, CodeProtected for one that is
// protected from it.
func (d *DB) DeleteInstance(ctx context.Context, c cloud.Caller, now time.Time, id string) (cloud.Instance, error) {
	return d.changeInstance(ctx, c, now, "instance.delete", id, (*tx).unwant)
}

// unwant is the one way by which the wish for an instance ends.
func (t *tx) unwant(w *wish) error {
	if !w.DeletedAt.IsZero() {
		return nil
	}
	if err := refuseProtected(cloud.KindInstance, w.Name, w.Protected); err != nil {
		return err
	}
	w.DeletedAt = t.now
	w.want()
	t.freed = cloud.Amounts{
		cloud.ResourceInstances: 1, cloud.ResourceVCPUs: int64(w.VCPUs), cloud.ResourceMemory: int64(w.MemoryMiB),
		cloud.ResourceDisk: int64(w.DiskGiB), cloud.ResourceVolumes: 1, cloud.ResourcePorts: int64(len(w.Ports)),
	}
	if err := t.deleteVolumesOf(w.ID); err != nil {
		return err
	}
	return t.wishEvent(w, "instance.deleted", "The instance "+w.Name+" was deleted and is being taken down.")
}

// refuseProtected returns CodeProtected for what must not be deleted. A CHECK of
// the schema holds it too, for whatever does not ask here.
func refuseProtected(kind cloud.Kind, name string, protected bool) error {
	if !protected {
		return nil
	}
	return cloud.Errorf(cloud.CodeProtected, "The %s %s is protected from deletion; change its protected to false first, if it shall go.", kind, name)
}
