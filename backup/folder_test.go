package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lodge/backup"
	"lodge/cloud"
)

// A disk that is not mounted is no place: a backup on the disk below would be taken
// for a good one.
func TestAFolderOnADiskThatIsNotMountedIsNotMade(t *testing.T) {
	mnt := filepath.Join(t.TempDir(), "disk")
	p, s := place(t, filepath.Join(mnt, "lodge")), source(t)
	if m, err := backup.Make(ctx, p, s); cloud.CodeOf(err) != cloud.CodeNotFound || !strings.Contains(err.Error(), "mount its disk") {
		t.Errorf("made %s, %v", m.ID, err)
	}
	if _, err := os.Lstat(mnt); !os.IsNotExist(err) {
		t.Errorf("something was made there: %v", err)
	}
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // made, and then there
		if _, err := backup.Make(ctx, p, s); err != nil {
			t.Error(err)
		}
	}
}
