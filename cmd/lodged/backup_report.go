package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"lodge/cloud"
	"lodge/cmd/lodged/daemon"
)

// workDir is where a backup is unpacked to be checked: beside the database, where
// there is room for it, or the machine's own place when there is no data dir.
func workDir(cfg daemon.Config) string {
	if info, err := os.Stat(cfg.DataDir); err == nil && info.IsDir() {
		return cfg.DataDir
	}
	return os.TempDir()
}

type orphanJSON struct {
	Kind      cloud.OrphanKind `json:"kind"`
	ID        string           `json:"id"`
	State     cloud.GuestState `json:"state,omitempty"`
	NetworkID string           `json:"network_id,omitempty"`
	Address   string           `json:"address,omitempty"`
	Path      string           `json:"path,omitempty"`
	GuestID   string           `json:"guest_id,omitempty"` // whose volume, seed or port it is on the host
	FoundAt   time.Time        `json:"found_at"`
}

type restoreJSON struct {
	BackupID   string              `json:"backup_id"`
	TakenAt    time.Time           `json:"taken_at"`
	RestoredAt time.Time           `json:"restored_at"`
	AdoptedAt  *time.Time          `json:"adopted_at"` // null: lodged has not compared it with the host
	Report     cloud.RestoreReport `json:"report"`
}

type aftermath struct {
	Restore *restoreJSON `json:"restore"` // null: there was none
	Orphans []orphanJSON `json:"orphans"`
	// Unpaired is why no guest_id is known; "" when libvirt was asked.
	Unpaired string `json:"unpaired,omitempty"`
}

func aftermathJSON(a daemon.Aftermath, h holders) aftermath {
	out := aftermath{Orphans: []orphanJSON{}}
	if r := a.Restore; a.Found {
		out.Restore = &restoreJSON{BackupID: r.BackupID, TakenAt: r.TakenAt, RestoredAt: r.RestoredAt, Report: r.Report}
		if !r.AdoptedAt.IsZero() {
			out.Restore.AdoptedAt = &r.AdoptedAt
		}
	}
	if h.err != nil {
		out.Unpaired = plain(h.err)
	}
	for _, o := range a.Orphans {
		j := orphanJSON{Kind: o.Kind, ID: o.ID, State: o.State, NetworkID: o.NetworkID, Path: o.Path, GuestID: h.of(o), FoundAt: o.FoundAt}
		if o.Address.IsValid() {
			j.Address = o.Address.String()
		}
		out.Orphans = append(out.Orphans, j)
	}
	return out
}

func writeAftermath(w io.Writer, a daemon.Aftermath, h holders) {
	r := a.Restore
	switch {
	case !a.Found:
		fmt.Fprintln(w, "Restored\tnever")
	case r.AdoptedAt.IsZero():
		fmt.Fprintf(w, "Restored\t%s from %s\nCompared\tnot yet: start lodged\n", r.RestoredAt.Format(time.RFC3339), r.BackupID)
	default:
		fmt.Fprintf(w, "Restored\t%s from %s\nCompared\t%s\n", r.RestoredAt.Format(time.RFC3339), r.BackupID, r.AdoptedAt.Format(time.RFC3339))
		for _, list := range []struct {
			what string
			ids  []string
		}{
			{"runs on", r.Report.Running}, {"was started since, and runs on", r.Report.Started},
			{"was stopped since, and stays so", r.Report.Stopped}, {"has no guest on the host", r.Report.Missing},
			{"has no disk on the host: put it back into disks/, or delete the instance", r.Report.NoDisk},
		} {
			for _, id := range list.ids {
				fmt.Fprintf(w, "Instance\t%s %s\n", id, list.what)
			}
		}
		for _, id := range r.Report.NoImage {
			fmt.Fprintf(w, "Image\t%s is not on the host: put it back into disks/, or import it again and delete this one\n", id)
		}
	}
	for _, o := range byGuest(a.Orphans, h) {
		more := ""
		switch {
		case o.State != "":
			more = ", " + string(o.State)
		case o.Address.IsValid():
			more = ", " + o.Address.String() + " on network " + o.NetworkID
		case o.Path != "":
			more = ", " + o.Path
		}
		switch guest := h.of(o); {
		case guest != "":
			more += ", of guest " + guest
		case held(o.Kind) && h.err == nil:
			more += ", of no guest"
		}
		fmt.Fprintf(w, "Unknown\t%s %s%s\n", o.Kind, o.ID, more)
	}
	if h.err != nil {
		fmt.Fprintf(w, "\twhich guest has what is not known, for libvirt could not be asked: %s\n", plain(h.err))
	}
	if len(a.Orphans) > 0 {
		fmt.Fprintln(w, "\tlodge leaves what it does not know alone; the runbook in docs/operations.md says what you can do")
	}
}
