package store_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lodge/store"
)

// upgradesPath says to this test binary that it is to be killed while it upgrades
// the database at the path, at the statement of upgradesAt.
const (
	upgradesPath = "LODGE_TEST_UPGRADES_PATH"
	upgradesAt   = "LODGE_TEST_UPGRADES_AT"
)

func upgradeUntilKilled(path string) {
	at, err := strconv.Atoi(os.Getenv(upgradesAt))
	if err != nil {
		panic(err)
	}
	n := 0
	store.AtStatement(func() {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	_, err = store.Open(path)
	fmt.Println("it was opened", err)
	os.Exit(1)
}

func killUpgrade(t *testing.T, path string, at int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), upgradesPath+"="+path, upgradesAt+"="+fmt.Sprint(at))
	out, err := child.CombinedOutput()
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v %s", err, out)
	}
}

func schemaOf(t *testing.T, path string) int {
	t.Helper()
	f, err := store.Inspect(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	return f.Schema
}

func copiesOf(t *testing.T, path string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(path + ".before-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		names = append(names, strings.TrimPrefix(c, path+".before-"))
	}
	return names
}

func upgrade(t *testing.T, path string) {
	t.Helper()
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// The copy is what the last whole lodge wrote, however often the upgrade is killed.
func TestAnUpgradeThatIsKilledKeepsTheCopyFromBeforeIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodge.db")
	loadLevel(t, path, levels(t)[0])
	var seen []int
	for _, at := range []int{2, 25, 25, 25, 10} {
		killUpgrade(t, path, at)
		seen = append(seen, schemaOf(t, path))
	}
	if seen[0] != 1 || len(slices.Compact(slices.Clone(seen))) != len(seen) || fmt.Sprintf("%04d", seen[4]) == levels(t)[len(levels(t))-1] {
		t.Fatalf("the kills left the levels %v; they have to lie between the migrations", seen)
	}
	upgrade(t, path)
	if got := copiesOf(t, path); !slices.Equal(got, []string{"0002"}) {
		t.Errorf("behind kills at the levels %v there are the copies %v", seen, got)
	}
	if s := schemaOf(t, path+".before-0002"); s != 1 {
		t.Errorf("the copy has the schema %d", s)
	}
	var left int
	if err := raw(t, path).QueryRow(`SELECT COUNT(*) FROM schema_migrations WHERE version < 1`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d marks are left, %v", left, err)
	}
}

// A copy that somebody has removed meanwhile is no reason to have none.
func TestAnUpgradeThatGoesOnWithoutItsCopyMakesOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodge.db")
	loadLevel(t, path, levels(t)[0])
	killUpgrade(t, path, 25)
	level := schemaOf(t, path)
	if err := os.Remove(path + ".before-0002"); err != nil {
		t.Fatal(err)
	}
	upgrade(t, path)
	if got, want := copiesOf(t, path), fmt.Sprintf("%04d", level+1); !slices.Equal(got, []string{want}) {
		t.Errorf("at level %d there are the copies %v", level, got)
	}
}

// Of a database that never was whole there is nothing to keep.
func TestAFirstStartThatIsKilledKeepsNoCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodge.db")
	killUpgrade(t, path, 25)
	upgrade(t, path)
	if got := copiesOf(t, path); len(got) > 0 {
		t.Errorf("there are the copies %v", got)
	}
}

// An older lodge that ends an upgrade and works on leaves a mark behind the schema.
func TestAMarkThatIsBehindTheSchemaHidesNoLodge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodge.db")
	all := levels(t)
	loadLevel(t, path, all[11])
	if _, err := raw(t, path).Exec(`INSERT INTO schema_migrations (version, name) VALUES (-2, '2 8')`); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".before-0002", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	upgrade(t, path)
	if got, want := copiesOf(t, path), []string{"0002", all[12]}; !slices.Equal(got, want) {
		t.Errorf("there are the copies %v, not %v", got, want)
	}
}

// Whoever has gone back has copies of higher numbers that are older.
func TestTheCopyThatWasJustMadeStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lodge.db")
	loadLevel(t, path, levels(t)[11])
	for days, name := range []string{"0021", "0022", "0023"} {
		at := time.Now().AddDate(0, 0, -9+days)
		kept := path + ".before-" + name
		if err := os.WriteFile(kept, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(kept, at, at); err != nil {
			t.Fatal(err)
		}
	}
	upgrade(t, path)
	if got, want := copiesOf(t, path), []string{levels(t)[12], "0022", "0023"}; !slices.Equal(got, want) {
		t.Fatalf("there are the copies %v, not %v", got, want)
	}
	if s := schemaOf(t, path+".before-"+levels(t)[12]); fmt.Sprintf("%04d", s) != levels(t)[11] {
		t.Errorf("the copy has the schema %d", s)
	}
}
