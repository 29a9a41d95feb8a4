package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// life is an instance: what is wanted of it, and what the host truly has.
type life struct {
	id, name string
	tenant   int
	labels   map[string]string

	vcpus, memory, diskGiB int // wanted
	wantOn                 bool
	asked                  time.Time // the ledger's time of its deletion

	run, paused, disk bool // on the host
	runV, runM        int
	keptV, keptM      int // as it was last defined
	inside            bool

	seen cloud.State // as it was last recorded
	gone bool
}

// startLodged starts a new process on the old file.
func (y *year) startLodged() {
	ctx := context.Background()
	y.must(y.db.Close())
	var err error
	y.db, err = store.Open(y.path)
	y.must(err)
	y.keeper, err = newTimekeeper(ctx, y.db, y.hid, y.read, discard())
	y.must(err)
	y.oracle.started(y.keeper.Now())
	y.openGap()
	if y.link {
		y.recover()
	}
}

// openGap is what reconcile does when nobody looks any more.
func (y *year) openGap() {
	if !y.gap.IsZero() || y.keeper == nil {
		return
	}
	h, err := y.db.Host(context.Background(), y.hid)
	y.must(err)
	y.gap, y.gapTrue = h.HeartbeatAt, y.beaten
}

// recover is the first look after nobody looked.
func (y *year) recover() {
	for _, l := range y.lives {
		y.record(l)
	}
	y.gap = time.Time{}
	y.beat()
	for _, l := range y.lives {
		y.settle(l)
	}
}

// beat writes down that everything was looked at.
func (y *year) beat() {
	y.must(y.keeper.Heartbeat(context.Background(), y.hid, y.keeper.Now()))
	y.beaten = y.now
	y.oracle.beat()
}

// sweep looks at everything and closes the hours that are due.
func (y *year) sweep() {
	y.beat()
	c := meter.Closer{Books: y.db, Now: y.keeper.Now, Log: discard()}
	y.must(c.Close(context.Background()))
}

// record writes down what is seen of an instance, as reconcile does.
func (y *year) record(l *life) {
	if l.gone {
		return
	}
	ctx := context.Background()
	i, err := y.db.Instance(ctx, y.root, l.id)
	y.must(err)
	state := cloud.StateRequested
	switch {
	case l.paused:
		state = cloud.StatePaused
	case l.run:
		state = cloud.StateRunning
	case l.seen.Runs() || l.seen == cloud.StateStopped || l.disk && !l.wantOn:
		state = cloud.StateStopped
	case l.disk:
		state = cloud.StateBuilding
	}
	r := cloud.InstanceRecord{
		ID: l.id, Generation: i.Generation, State: state, ObservedGeneration: i.Generation, ObservedBoots: i.Boots, RootSeen: l.disk,
		At: y.keeper.Now(), Evidence: cloud.EvidenceSeen,
	}
	size := cloud.Size{VCPUs: l.vcpus, MemoryMiB: l.memory, DiskGiB: l.diskGiB}
	if l.run {
		r.RunningVCPUs, r.RunningMemoryMiB = l.runV, l.runM
		size.VCPUs, size.MemoryMiB = l.runV, l.runM
	}
	if l.inside && !l.run && l.wantOn && l.seen.Runs() && l.asked.IsZero() {
		r.GuestStopped, l.wantOn, l.inside = true, false, false
	}
	if l.asked.IsZero() {
		r.Readings = cloud.Readings(state, size, l.disk)
	} else {
		r.EndAt, r.Evidence = l.asked, cloud.EvidenceDeleted
		if !l.run && !l.disk {
			r.State = cloud.StateGone
		}
	}
	unseen := !y.gap.IsZero() && l.seen.Runs() && !r.State.Runs()
	if unseen && (r.EndAt.IsZero() || y.gap.Before(r.EndAt)) {
		r.EndAt, r.Evidence = y.gap, cloud.EvidenceHeartbeat
	}
	y.must(y.db.RecordInstance(ctx, r))
	if !l.run && l.asked.IsZero() {
		l.keptV, l.keptM = l.vcpus, l.memory
	}
	y.oracle.recorded(l, r.State, unseen)
	l.seen, l.gone = r.State, r.State == cloud.StateGone
}

// settle does what reconcile does until the host is as it is wanted. lodged may
// be killed between an act and its record.
func (y *year) settle(l *life) {
	for y.watching() && !l.gone {
		y.record(l)
		if l.gone || !y.act(l) {
			return
		}
		if y.rand.IntN(150) == 0 && y.fixAt == 0 {
			y.killLodged()
			y.fixAt = y.now + time.Duration(y.rand.Int64N(3_600_000))*time.Millisecond
		}
	}
}

// act is the next step of reconcile; false: nothing is left to do.
func (y *year) act(l *life) bool {
	switch {
	case !l.asked.IsZero():
		y.pass(300 * time.Millisecond)
		if l.run {
			l.run, l.paused = false, false
		} else {
			l.disk = false
		}
	case !l.disk:
		y.pass(50 * time.Millisecond)
		l.disk = true
	case l.wantOn && !l.run:
		y.pass(900 * time.Millisecond)
		l.run, l.inside, l.runV, l.runM, l.keptV, l.keptM = true, false, l.vcpus, l.memory, l.vcpus, l.memory
	case l.paused:
		y.pass(50 * time.Millisecond)
		l.paused = false
	case !l.wantOn && l.run:
		y.pass(90 * time.Second)
		l.run = false
	default:
		return false
	}
	y.oracle.happened(l)
	return true
}

func (y *year) some(ok func(*life) bool) *life {
	for range 20 {
		if len(y.lives) == 0 {
			return nil
		}
		if l := y.lives[y.rand.IntN(len(y.lives))]; !l.gone && ok(l) {
			return l
		}
	}
	return nil
}

// guest is what a guest does by itself, or an operator's hand to it.
func (y *year) guest() {
	l := y.some(func(l *life) bool { return l.run })
	if l == nil || !y.on {
		return
	}
	switch y.rand.IntN(4) {
	case 0:
		l.paused = true
	case 1:
		l.inside = true
		fallthrough
	default:
		l.run, l.paused = false, false
	}
	y.oracle.happened(l)
	y.settle(l)
}

// tenant is what a tenant asks for. Wishes are taken while libvirt is away.
func (y *year) tenant() {
	if y.keeper == nil {
		return
	}
	// So many at first, the rest over the whole year.
	if y.plan > 0 && (len(y.lives) < y.plan/8 || y.rand.Float64() < 1.1*float64(y.plan)*float64(108*time.Minute)/float64(y.end-y.now+time.Hour)) {
		y.create()
		return
	}
	l := y.some(func(l *life) bool { return l.asked.IsZero() })
	if l == nil {
		return
	}
	ctx, now := context.Background(), y.keeper.Now()
	switch n := y.rand.IntN(200); {
	case n < 35:
		l.wantOn = false
		_, err := y.db.PowerInstance(ctx, y.root, now, l.id, cloud.PowerStop, false)
		y.must(err)
	case n < 100:
		l.wantOn = true
		_, err := y.db.PowerInstance(ctx, y.root, now, l.id, cloud.PowerStart, false)
		y.must(err)
	case n < 150:
		l.vcpus, l.memory = 1+y.rand.IntN(8), 256<<y.rand.IntN(6)
		_, err := y.db.UpdateInstance(ctx, y.root, now, l.id, cloud.InstanceChange{VCPUs: &l.vcpus, MemoryMiB: &l.memory})
		y.must(err)
	case n < 170:
		y.n++
		l.name = fmt.Sprintf("renamed%d", y.n)
		_, err := y.db.UpdateInstance(ctx, y.root, now, l.id, cloud.InstanceChange{Name: &l.name})
		y.must(err)
		y.oracle.fact(l)
	case n < 192:
		value := fmt.Sprintf("v%d", y.rand.IntN(1000))
		l.labels["env"] = value
		_, err := y.db.UpdateInstance(ctx, y.root, now, l.id, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"env": &value}}})
		y.must(err)
		y.oracle.fact(l)
	default:
		i, err := y.db.DeleteInstance(ctx, y.root, now, l.id)
		y.must(err)
		l.asked = i.DeletedAt
		y.oracle.deletionAsked(l)
	}
	y.settle(l)
}

func (y *year) create() {
	y.plan--
	y.n++
	l := &life{
		id: uuid.NewString(), name: fmt.Sprintf("vm%d", y.n), tenant: y.rand.IntN(len(y.tenants)), labels: map[string]string{},
		vcpus: 1 + y.rand.IntN(8), memory: 256 << y.rand.IntN(6), diskGiB: 3 + y.rand.IntN(200), wantOn: y.rand.IntN(6) != 0,
		seen: cloud.StateRequested,
	}
	_, err := y.db.CreateInstance(context.Background(), y.root, y.keeper.Now(), cloud.NewInstance{
		ID: l.id, VolumeID: uuid.NewString(), PortID: uuid.NewString(), TenantID: y.tenants[l.tenant], Name: l.name,
		VCPUs: l.vcpus, MemoryMiB: l.memory, DiskGiB: l.diskGiB, Stopped: !l.wantOn,
	})
	y.must(err)
	y.lives = append(y.lives, l)
	y.oracle.born(l)
	y.settle(l)
}
