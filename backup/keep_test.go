package backup_test

import (
	"slices"
	"testing"
	"time"

	"lodge/backup"
)

const hostA, hostB = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"

func TestRetentionKeepsTheNewestOfEachSpan(t *testing.T) {
	end := time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC) // a Sunday
	var ids []string
	for h := range 24 * 60 {
		ids = append(ids, backup.NewID(end.Add(-time.Duration(h)*time.Hour), hostA, true), backup.NewID(end.Add(-time.Duration(h)*time.Hour-20*time.Minute), hostA, true))
	}
	other := backup.NewID(end.AddDate(-1, 0, 0), hostB, true)
	byHand := backup.NewID(end.AddDate(-2, 0, 0), hostA, false)
	ids = append(ids, other, byHand, "notes.txt")
	gone := backup.Keep{Hourly: 3, Daily: 2, Weekly: 3}.Expired(ids, hostA, end)
	left := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(gone, id) })
	slices.Sort(left)
	want := []string{
		"20261108T233000000Z-aaaaaaaa-scheduled", // the week before the last, its Sunday
		"20261115T233000000Z-aaaaaaaa-scheduled", // the last week
		"20261121T233000000Z-aaaaaaaa-scheduled", // yesterday
		"20261122T163000000Z-aaaaaaaa-scheduled", "20261122T173000000Z-aaaaaaaa-scheduled",
		"20261122T183000000Z-aaaaaaaa-scheduled", // this hour, day and week
		other, byHand, "notes.txt",
	}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left %v", left)
	}
	if gone := (backup.Keep{Daily: 1}).Expired(want[:1], hostA, end); len(gone) > 0 {
		t.Errorf("the newest went: %v", gone)
	}
}

// A backup that was made while the clock was ahead costs no other its place: each new
// one would go right after it was made.
func TestABackupOfATimeToComeTakesNoPlace(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)
	future := backup.NewID(now.AddDate(0, 1, 0), hostA, true)
	fresh, old := backup.NewID(now, hostA, true), backup.NewID(now.Add(-2*time.Hour), hostA, true)
	if gone := (backup.Keep{Hourly: 1}).Expired([]string{future, fresh, old}, hostA, now); !slices.Equal(gone, []string{old}) {
		t.Errorf("gone %v", gone)
	}
}

func TestReadKeep(t *testing.T) {
	if k, err := backup.ReadKeep("hourly=24, daily=7,weekly=4"); err != nil || k != (backup.Keep{Hourly: 24, Daily: 7, Weekly: 4}) {
		t.Errorf("got %+v, %v", k, err)
	}
	for _, bad := range []string{"", "24", "hourly=x", "hourly=-1", "monthly=1", "daily=0", "hourly=1,hourly=2", "hourly=0,daily=1,hourly=0"} {
		if k, err := backup.ReadKeep(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, k)
		}
	}
}

func TestNamesOfBackupsStayInTheirPlace(t *testing.T) {
	for _, bad := range []string{"", "..", "../x", "20261122T183000000Z-../../x", "20261122T183000000Z-aaaaaaaa/x", "latest"} {
		if backup.IsID(bad) {
			t.Errorf("%q is a name", bad)
		}
	}
}
