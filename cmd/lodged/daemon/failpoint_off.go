//go:build !failpoint

package daemon

import (
	"lodge/meter"
	"lodge/reconcile"
)

// armed is o: only a lodged that is built with the tag failpoint can be told to
// die at a step.
func armed(o reconcile.Options) reconcile.Options { return o }

// turnable is read: only such a lodged can be shown another wall clock.
func turnable(read func() (meter.Tick, error)) func() (meter.Tick, error) { return read }
