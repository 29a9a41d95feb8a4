package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASecondLodgedFindsTheDataDirTaken(t *testing.T) {
	dir := t.TempDir()
	first, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		if second, err := lockDir(dir); err == nil || !strings.Contains(err.Error(), "is running on this data dir") {
			t.Errorf("%s: %+v, %v", when, second, err)
		}
	}
	refused("beside the first")
	if b, _ := os.ReadFile(filepath.Join(dir, "lodged.lock")); strings.TrimSpace(string(b)) == "" {
		t.Error("the refused one has taken the holder's name away")
	}
	if err := os.Remove(filepath.Join(dir, "lodged.lock")); err != nil {
		t.Fatal(err)
	}
	refused("when the lock file was removed by hand")
	refused("and once more")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir)
	if err != nil {
		t.Fatalf("behind the end of the first: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
