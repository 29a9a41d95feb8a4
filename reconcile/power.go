package reconcile

import (
	"time"

	"lodge/cloud"
)

// quickEnd is how short a run must be for its end to count as a failed start.
const quickEnd = time.Minute

// planPower brings a completely defined guest to the wanted power.
func planPower(d *Decision, w cloud.InstanceWish, s Seen, now time.Time) {
	g, asked := *s.Guest, s.AskedAt
	if w.Power == cloud.PowerOff {
		planOff(d, w, g, asked, now)
		return
	}
	switch g.State {
	case cloud.GuestOff, cloud.GuestSaved:
		planOn(d, w, s, now)
	case cloud.GuestPaused:
		planResume(d, w, g)
	case cloud.GuestRunning:
		if w.Boots > w.ObservedBoots {
			planReboot(d, w, g, asked, now)
		}
	}
}

func planOff(d *Decision, w cloud.InstanceWish, g cloud.Guest, asked, now time.Time) {
	if g.State == cloud.GuestOff || g.State == cloud.GuestSaved {
		d.Record.ObservedBoots = w.Boots
		return
	}
	d.Record.Task = cloud.TaskStopping
	d.shutDown(w, g, asked, now)
}

// shutDown asks the guest until its grace is over, then pulls the plug. A guest
// that is paused cannot hear the button.
func (d *Decision) shutDown(w cloud.InstanceWish, g cloud.Guest, asked, now time.Time) {
	if w.PowerForce || g.State == cloud.GuestPaused || now.Sub(w.PowerAt) >= cloud.DefaultStopGrace {
		d.Steps = append(d.Steps, Step{Verb: VerbPower, ID: w.ID, Power: cloud.ActDestroy})
		return
	}
	if asked.Before(w.PowerAt) || now.Sub(asked) >= askEvery {
		d.Steps = append(d.Steps, Step{Verb: VerbPower, ID: w.ID, Power: cloud.ActShutdown})
		asked = now
	}
	d.Again = earlier(asked.Add(askEvery), w.PowerAt.Add(cloud.DefaultStopGrace))
}

// planOn starts a guest that is off, unless it switched itself off.
func planOn(d *Decision, w cloud.InstanceWish, s Seen, now time.Time) {
	g, on := *s.Guest, ran(w)
	rebooting := w.Boots > w.ObservedBoots
	if on && !rebooting && g.OffReason == cloud.OffShutdown && w.ObservedGeneration == w.Generation && !pressed(w, s.RanAt, now) {
		d.Record.GuestStopped = true
		return
	}
	d.Record.Task = cloud.TaskStarting
	if rebooting {
		d.Record.Task = cloud.TaskRebooting
	}
	if d.Record.State == cloud.StateBuilding {
		d.Record.Task = cloud.TaskCreating
	}
	d.Steps = append(d.Steps, Step{Verb: VerbPower, ID: w.ID, Power: cloud.ActStart, Boots: w.Boots})
	quick := on && !rebooting && now.Sub(w.StartedAt) < quickEnd
	died := !on && (g.OffReason == cloud.OffCrashed || g.OffReason == cloud.OffFailed)
	if quick || died {
		d.Throttle = cloud.Errorf(cloud.CodeGuestCrashed,
			"The guest ended shortly after its start and is being started again; its console log may say why.")
	}
}

// pressed reports whether a shutdown may be the answer to lodge's own power
// button: a stop that was taken back by a start (or a reboot) in this run, less
// than a guest's grace before its end. Then it is not the guest's wish. Where
// nobody saw the end it may have been right behind the last look.
func pressed(w cloud.InstanceWish, ranAt, now time.Time) bool {
	if ranAt.IsZero() {
		ranAt = now
	}
	return w.PowerAt.After(w.StartedAt) && ranAt.Sub(w.PowerAt) < cloud.DefaultStopGrace
}

func planResume(d *Decision, w cloud.InstanceWish, g cloud.Guest) {
	d.Record.Task = cloud.TaskStarting
	d.Steps = append(d.Steps, Step{Verb: VerbPower, ID: w.ID, Power: cloud.ActResume})
	why := "The guest was paused on the host and is being resumed."
	if g.IOError {
		why = "The guest was paused because its disk could not be written, most often for lack of space on the host; it is being resumed."
	}
	d.Throttle = cloud.Errorf(cloud.CodeGuestPaused, "%s", why)
}

// planReboot restarts the guest: from inside when its definition is the same,
// through off and on when a change is waiting for its next start.
func planReboot(d *Decision, w cloud.InstanceWish, g cloud.Guest, asked, now time.Time) {
	d.Record.Task = cloud.TaskRebooting
	if g.Live != g.Digest {
		d.shutDown(w, g, asked, now)
		return
	}
	act := cloud.ActReboot
	if w.PowerForce {
		act = cloud.ActReset
	}
	d.Steps = append(d.Steps, Step{Verb: VerbPower, ID: w.ID, Power: act, Boots: w.Boots})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
