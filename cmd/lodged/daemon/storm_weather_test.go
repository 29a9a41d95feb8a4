package daemon

import (
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"lodge/cloud"
	"lodge/hypervisor/sim"
)

// foreigner is a domain that is not lodge's; it must be there at the end.
const foreigner = "f0000000-0000-4000-8000-000000000001"

// deathly are the points at which a storm kills lodged by name: between a step
// and its record.
var deathly = []string{
	"CreateDisk:before", "CreateDisk:after", "WriteSeed:after", "EnsureNetwork:after", "EnsurePort:after", "DefineGuest:before",
	"DefineGuest:after", "PowerGuest:start:before", "PowerGuest:start:after", "PowerGuest:shutdown:after", "PowerGuest:destroy:after",
	"PowerGuest:reboot:after", "PowerGuest:reset:after", "PowerGuest:resume:after", "RemoveGuest:before", "RemoveGuest:after", "RemoveDisk:after",
	"RemovePort:after", "RemoveNetwork:after", "LookGuests:after", "RecordInstance:before", "RecordInstance:after",
	"RecordNetwork:before", "RecordNetwork:after", "RecordTraffic:before", "Heartbeat:before", "Heartbeat:after",
	"ImportImage:before", "ImportImage:after", "RecordImage:before", "RecordImage:after", "RecordOrphans:before", "RecordOrphans:after",
}

// storms has the weather go on until over.
func (w *storm) storms(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(w.upTo(25 * time.Second)):
			w.weather()
		}
	}
}

func (w *storm) upTo(most time.Duration) time.Duration {
	return time.Duration(w.rand.Int64N(most.Milliseconds())) * time.Millisecond
}

func (w *storm) even() bool { return w.rand.IntN(2) == 0 }

// weather is one thing that goes wrong, or gets better.
func (w *storm) weather() {
	switch w.rand.IntN(28) {
	case 0:
		w.host.Down(w.even())
	case 1:
		w.host.Away(w.even())
	case 2:
		w.host.FailRate([]float64{0, 0, 0.1, 0.4}[w.rand.IntN(4)])
	case 3:
		for _, call := range []sim.Call{sim.CallCreateDisk, sim.CallWriteSeed, sim.CallEnsurePort, sim.CallDefineGuest, sim.CallStart, sim.CallRemoveGuest, sim.CallRemoveDisk} {
			w.host.LoseAnswer(call, w.rand.IntN(3))
		}
	case 4:
		w.host.SlowNext(sim.CallPowerGuest, 20*time.Second, 2)
		w.host.SlowNext(sim.CallLookGuests, 5*time.Second, 1)
	case 5:
		w.host.LoseEvents(w.even())
	case 6:
		w.host.SetFree([]int64{0, 300 << 10, 1 << 40}[w.rand.IntN(3)]) // of its disks
	case 7: // of the database
		w.refuse(cloud.Errorf(cloud.CodeDiskFull, "The disk is full."))
	case 8:
		w.refuse(errors.New("database is locked"))
	case 9, 10, 11:
		w.hand()
	case 12:
		w.reboot()
	case 13:
		w.setClock()
	case 14, 15, 16:
		w.dieAt(deathly[w.rand.IntN(len(deathly))], 1+w.rand.IntN(3))
	case 17, 18:
		w.dieAt("", 1+w.rand.IntN(120))
	case 19:
		w.die(func() {})
	case 20: // in order
		w.api.Lock()
		w.stop(true)
		w.start()
		w.api.Unlock()
	case 21:
		w.host.Mute(w.even())
	case 22:
		w.occupy()
	case 23:
		w.offline.Store(w.even())
	default:
		w.guest()
	}
}

func (w *storm) refuse(err error) {
	p := w.proc
	p.refuse.Store(&refusal{err})
	time.Sleep(w.upTo(20 * time.Second))
	p.refuse.Store(nil)
}

// occupy has another process hold the database file for longer than lodged waits.
func (w *storm) occupy() {
	other, err := sql.Open("sqlite3", "file:"+w.file()+"?_txlock=immediate&_busy_timeout=5000")
	w.must(err)
	defer func() { w.must(other.Close()) }()
	tx, err := other.Begin()
	w.must(err)
	w.busy.Store(true)
	time.Sleep(w.upTo(15 * time.Second))
	w.must(tx.Rollback())
	time.Sleep(time.Second) // what was tried before is answered by then
	w.busy.Store(false)
}

// some is the id of a guest, or "".
func (w *storm) some() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for id := range w.made {
		if !w.removed[id] {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return smallest(ids, w.rand.IntN(len(ids)))
}

// guest is what a guest does by itself.
func (w *storm) guest() {
	id := w.some()
	switch w.rand.IntN(7) {
	case 0:
		w.host.Crash(id)
	case 1, 5, 6:
		w.mu.Lock()
		was := w.shut[id]
		w.shut[id], w.latest = true, id // before lodge hears of it
		w.mu.Unlock()
		if !was && !w.host.PowerOffInside(id) {
			w.mu.Lock()
			delete(w.shut, id)
			w.mu.Unlock()
		}
	case 2:
		w.host.Pause(id, w.even())
	case 3:
		w.host.IgnoreACPI(id, w.even())
	case 4:
		w.host.Transfer(id, 0, w.rand.Int64N(1<<30), w.rand.Int64N(1<<30))
	}
}

// hand is what an operator does by hand.
func (w *storm) hand() {
	id := w.some()
	w.apart(w.edited, id)
	switch w.rand.IntN(11) {
	case 0, 1:
		w.host.DestroyByHand(id)
	case 2:
		w.host.UndefineByHand(id)
	case 3:
		w.host.StartByHand(id)
	case 4:
		w.host.SaveByHand(id)
	case 5:
		w.host.EditByHand(id, func(s *cloud.GuestSpec) {
			switch w.rand.IntN(3) {
			case 0:
				s.VCPUs += 3
			case 1:
				s.MemoryMiB *= 2
			case 2:
				s.NICs = nil
			}
		})
	case 6:
		w.host.DeleteDisk(cloud.DiskSeed, id)
	case 7:
		for _, ports := range w.nets() {
			w.host.StopNetwork(ports)
		}
	case 8:
		w.deleteRoot(id)
	case 9:
		if nets := w.nets(); len(nets) > 0 {
			w.host.UndefineNetwork(nets[w.rand.IntN(len(nets))])
		}
	case 10:
		w.deleteImage()
	}
}

func (w *storm) nets() (ids []string) {
	for id := range w.host.Inventory().Ports {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// deleteImage deletes the file of a tenant's image: what is based on it can only
// be helped by a person.
func (w *storm) deleteImage() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.images) == 0 {
		return
	}
	id := smallest(slices.Collect(maps.Keys(w.images)), w.rand.IntN(len(w.images)))
	w.lost[id] = w.host.DeleteDisk(cloud.DiskImage, id) || w.lost[id]
}

// deleteRoot deletes the root disk of an instance, once it is known to be there:
// the one thing that cannot be mended, and must not be made anew.
func (w *storm) deleteRoot(id string) {
	for _, volume := range w.rows(`SELECT v.id FROM volume v JOIN attachment a ON a.volume_id = v.id WHERE a.instance_id = ? AND v.state = 'available'`, id) {
		if w.host.DeleteDisk(cloud.DiskVolume, volume) {
			w.mu.Lock()
			w.hurt[id] = volume
			w.mu.Unlock()
		}
	}
}

// reboot is a reboot of the machine: lodged and all guests end, the clocks begin
// again.
func (w *storm) reboot() {
	w.die(func() {
		w.host.RebootHost()
		w.clock.Lock()
		w.clock.wall += time.Duration(float64(time.Since(w.clock.booted)) * w.clock.drift)
		w.clock.boot++
		w.clock.booted = time.Now()
		w.clock.Unlock()
	})
}

func (w *storm) setClock() {
	w.clock.Lock()
	defer w.clock.Unlock()
	up := time.Since(w.clock.booted)
	w.clock.wall += time.Duration(float64(up) * w.clock.drift)
	w.clock.drift = float64(w.rand.IntN(201)-100) / 1e6
	w.clock.wall -= time.Duration(float64(up) * w.clock.drift)
	by := []time.Duration{0, 300 * time.Millisecond, time.Minute, 2 * time.Hour, 24 * time.Hour}[w.rand.IntN(5)]
	if w.even() {
		by = -by
	}
	w.clock.wall += by
}

// die kills lodged, lets something happen while it is down, and starts it again.
func (w *storm) die(meanwhile func()) {
	w.api.Lock()
	defer w.api.Unlock()
	w.stop(false)
	pause := w.upTo(90 * time.Second)
	time.Sleep(pause / 2)
	meanwhile()
	time.Sleep(pause / 2)
	w.again()
}

// dieAt has lodged die when it has come to a point for the n-th time, of that
// name or of any; soon, for what does not come in time.
func (w *storm) dieAt(name string, n int) {
	p := w.proc
	if name != "" {
		p.at.Store(&name)
	}
	p.fuse.Store(int64(n))
	for end := time.Now().Add(2 * time.Minute); !p.dead.Load() && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
	}
	w.die(func() {})
}
