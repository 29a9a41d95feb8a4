package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mounted is a scratch folder with a file system of its own.
func mounted(t *testing.T, args ...string) string {
	t.Helper()
	dir := scratch(t)
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v %s", args, err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// labOn is a lab on a file system that will take no log.
func labOn(t *testing.T, dir string) *lab {
	t.Helper()
	log := filepath.Join(scratch(t), "lodged.log")
	l := newLabIn(t, dir, "--sweep", "1s")
	l.stop()
	l.log = log
	l.start()
	return l
}

// fillUp writes until nothing more goes in.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		block := bytes.Repeat([]byte{1}, size)
		for {
			if _, err := f.Write(block); err != nil {
				break
			}
		}
	}
}

// refuses starts a lodged that is to end by itself, and returns what it said.
func (l *lab) refuses(args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin("lodged"), args...).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		l.t.Errorf("lodged started: %v %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

func (l *lab) haltingGuests(n int) (ids []string, pids []int) {
	l.t.Helper()
	l.halting()
	for i := range n {
		id := l.create(map[string]any{"name": fmt.Sprintf("vm%d", i), "vcpus": 1, "memory_mib": 64, "disk_gib": 1})
		ids = append(ids, id)
	}
	for _, id := range ids {
		l.settled(id, "running")
		pids = append(pids, l.qemu(id))
	}
	return ids, pids
}

// runOn checks that the guests are those of before, in the ledger too.
func (l *lab) runOn(ids []string, pids []int) {
	l.t.Helper()
	for i, id := range ids {
		if now := l.qemu(id); now != pids[i] || syscall.Kill(now, 0) != nil {
			l.t.Errorf("guest %d was process %d and is %d", i, pids[i], now)
		}
	}
}

// The whole data directory is on a disk that gets full, the database too.
func TestADiskThatIsFullForAllTakesNothingAndLosesNothing(t *testing.T) {
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs a libvirt world: run scripts/test")
	}
	dir := mounted(t, "-t", "tmpfs", "-o", "size=400m,mode=711", "lodge-e2e")
	l := labOn(t, dir)
	ids, pids := l.haltingGuests(2)

	fill := filepath.Join(dir, "fill")
	fillUp(t, fill)
	var taken []string
	refused := 0
	for n := 0; refused < 5 && n < 500; n++ {
		a := l.call("POST", "/v1/instances", map[string]any{"name": fmt.Sprintf("more%d", n), "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "power": "stopped"})
		switch {
		case a.status == 202:
			taken = append(taken, a.body["id"].(string)) // there was room in the pages it has
		case a.status == 507 && a.code() == "disk_full" && strings.Contains(fmt.Sprint(a.body["detail"]), "full"):
			refused++
		default:
			t.Fatalf("create on a full disk: %d %v", a.status, a.body)
		}
	}
	t.Logf("%d were taken before %d were refused", len(taken), refused)
	ready := func() answer { return l.call("GET", "/readyz", nil) }
	if a := ready(); a.status != 503 || !strings.Contains(fmt.Sprint(a.body["detail"]), "full") {
		t.Errorf("readyz: %d %v", a.status, a.body)
	}
	if a := l.call("POST", "/v1/instances/"+ids[0]+"/stop", nil); a.status != 507 {
		t.Errorf("stop on a full disk: %d %v", a.status, a.body)
	}
	time.Sleep(3 * time.Second) // some sweeps
	if n := len(l.list("/v1/instances")); n != 2+len(taken) {
		t.Errorf("%d instances of %d that were taken", n, 2+len(taken))
	}
	if a := l.call("GET", "/healthz", nil); a.status != 200 {
		t.Errorf("healthz: %d", a.status)
	}
	if a := ready(); a.status != 503 {
		t.Errorf("readyz: %d %v", a.status, a.body)
	}
	l.runOn(ids, pids)

	// One that starts now says so and ends; nothing of it is half made.
	l.kill()
	fillUp(t, fill)
	words := l.refuses("--data-dir", l.dir, "--socket", l.socket)
	t.Logf("a start on a full disk: %s", words)
	if !strings.Contains(words, "full") || !strings.Contains(words, l.dir) {
		t.Errorf("it has to name the disk and what is wrong with it: %s", words)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	l.start()
	fillUp(t, fill)
	for n := 0; ready().status == 200 && n < 200; n++ {
		if a := l.call("POST", "/v1/instances", map[string]any{"name": fmt.Sprintf("again%d", n), "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "power": "stopped"}); a.status == 202 {
			taken = append(taken, a.body["id"].(string))
		}
	}
	if a := ready(); a.status != 503 {
		t.Fatalf("it fills up once more: readyz: %d", a.status)
	}
	daemon := l.daemon.Process.Pid
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	l.eventually(20*time.Second, "it is ready again", func() bool { return ready().status == 200 })
	t.Logf("ready %s after there was space", time.Since(freed).Round(time.Millisecond))
	for _, id := range taken {
		l.settled(id, "stopped")
	}
	for _, id := range ids {
		l.settled(id, "running")
		if runs := l.ledgerRuns(id); len(runs) != 1 || !runs[0].end.IsZero() {
			t.Errorf("it ran on; the ledger has %+v", runs)
		}
	}
	l.runOn(ids, pids)
	if l.daemon.Process.Pid != daemon {
		t.Error("it was started anew")
	}
	if n := len(l.list("/v1/instances")); n != 2+len(taken) {
		t.Errorf("%d instances of %d that were taken", n, 2+len(taken))
	}
	if out, code := l.lodgeCode("usage", "verify"); code != 0 {
		t.Errorf("the ledger verifies: %s", out)
	}
}

// ext4 goes read-only under everybody when it meets an error.
func TestAFileSystemThatGoesReadOnlyLosesNothing(t *testing.T) {
	if os.Getenv("LODGE_WORLD") != "1" {
		t.Skip("needs a libvirt world: run scripts/test")
	}
	image := filepath.Join(scratch(t), "disk.img")
	for _, words := range [][]string{{"truncate", "-s", "512M", image}, {"mkfs.ext4", "-q", "-F", "-m", "0", image}} {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", words, err, out)
		}
	}
	dir := mounted(t, "-o", "loop", image)
	l := labOn(t, dir)
	ids, pids := l.haltingGuests(2)
	if out, err := exec.Command("mount", "-o", "remount,abort", dir).CombinedOutput(); err != nil {
		t.Fatalf("abort: %v %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "probe"), []byte("x"), 0o600); err == nil {
		t.Fatal("the file system still takes files")
	}
	a := l.call("POST", "/v1/instances", map[string]any{"name": "more", "vcpus": 1, "memory_mib": 64, "disk_gib": 1})
	t.Logf("create: %d %v", a.status, a.body["detail"])
	if a.status != 503 || a.code() != "unavailable" {
		t.Errorf("create on a read-only file system: %d %v", a.status, a.body)
	}
	if a := l.call("GET", "/readyz", nil); a.status != 503 || !strings.Contains(fmt.Sprint(a.body["detail"]), "cannot be written") {
		t.Errorf("readyz: %d %v", a.status, a.body)
	}
	time.Sleep(2 * time.Second)
	if n := len(l.list("/v1/instances")); n != 2 {
		t.Errorf("%d instances", n)
	}
	l.runOn(ids, pids)
	l.kill()
	words := l.refuses("--data-dir", l.dir, "--socket", l.socket)
	t.Logf("a start on a read-only file system: %s", words)
	if !strings.Contains(words, "read-only") || !strings.Contains(words, l.dir) {
		t.Errorf("it has to name the file system and what is wrong with it: %s", words)
	}
	l.runOn(ids, pids)

	// The way back from it: everything off, fsck, mount.
	for _, id := range ids {
		l.virsh("destroy", "lodge-"+id)
	}
	l.eventually(20*time.Second, "it is unmounted", func() bool { return exec.Command("umount", dir).Run() == nil })
	if out, err := exec.Command("e2fsck", "-fy", image).CombinedOutput(); err != nil && !strings.Contains(err.Error(), "exit status 1") {
		t.Fatalf("e2fsck: %v %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	l.start()
	for _, id := range ids {
		l.eventually(time.Minute, "it is on again", func() bool { return len(l.ledgerRuns(id)) == 2 })
		l.settled(id, "running")
	}
	if n := len(l.list("/v1/instances")); n != 2 {
		t.Errorf("%d instances", n)
	}
	if out, code := l.lodgeCode("usage", "verify"); code != 0 {
		t.Errorf("the ledger verifies: %s", out)
	}
}

// sums are the hashes of the files of a database.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "lodge.db*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = fmt.Sprintf("%d %x", len(b), sha256.Sum256(b))
	}
	return out
}

// What is damaged or newer is refused with what to do, and stays to the byte as it
// was, behind an end in order and behind a crash.
func TestADamagedOrNewerDatabaseIsRefusedAndLeftAsItWas(t *testing.T) {
	l := newLab(t)
	l.halting()
	for n := range 5 {
		l.create(map[string]any{"name": fmt.Sprintf("vm%d", n), "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "power": "stopped"})
	}
	copies := func() string {
		dir := scratch(t)
		for _, f := range []string{"lodge.db", "lodge.db-wal", "lodge.db-shm", "host-id"} {
			b, err := os.ReadFile(filepath.Join(l.dir, f))
			if os.IsNotExist(err) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, f), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	l.stop()
	clean := copies()
	l.start()
	l.create(map[string]any{"name": "later", "vcpus": 1, "memory_mib": 64, "disk_gib": 1, "power": "stopped"})
	l.kill()
	crashed := copies()
	if len(sums(t, clean)) != 1 || len(sums(t, crashed)) != 3 {
		t.Fatalf("behind a stop there are %v, behind a crash %v", sums(t, clean), sums(t, crashed))
	}
	l.start()

	at := func(share float64, f func(db *os.File, size int64, at int64) error) func(string) error {
		return func(path string) error {
			db, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer db.Close()
			info, err := db.Stat()
			if err != nil {
				return err
			}
			return f(db, info.Size(), int64(float64(info.Size())*share)/4096*4096)
		}
	}
	cases := []struct {
		name  string
		spoil func(path string) error
		says  []string
	}{
		{"bytes in the middle", at(0.25, func(db *os.File, size, at int64) error {
			_, err := db.WriteAt(bytes.Repeat([]byte{0xab}, int(size/2)), at)
			return err
		}), []string{"damaged", "restore a backup"}},
		{"its first page", at(0, func(db *os.File, _, _ int64) error {
			_, err := db.WriteAt(bytes.Repeat([]byte{0xab}, 4096), 0)
			return err
		}), []string{"damaged", "restore a backup"}},
		{"cut in the middle of a page", at(0.5, func(db *os.File, _, at int64) error { return db.Truncate(at + 1000) }), []string{"damaged", "restore a backup"}},
		{"cut between pages", at(0.5, func(db *os.File, _, at int64) error { return db.Truncate(at) }), []string{"damaged", "restore a backup"}},
		{"of no length", func(path string) error { return os.Truncate(path, 0) }, []string{"empty", "restore the database from a backup"}},
		{"of a newer lodge", func(path string) error {
			db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_foreign_keys=0")
			if err != nil {
				return err
			}
			db.SetMaxOpenConns(1)
			if _, err = db.Exec(`INSERT INTO schema_migrations (version, name) VALUES (9999, '9999_of_the_future')`); err != nil {
				return err
			}
			return db.Close()
		}, []string{"newer lodge", "restore a backup"}},
	}
	for from, dir := range map[string]string{"behind a stop": clean, "behind a crash": crashed} {
		for _, c := range cases {
			t.Run(from+": "+c.name, func(t *testing.T) {
				here := scratch(t)
				for f := range sums(t, dir) {
					b, err := os.ReadFile(filepath.Join(dir, f))
					if err == nil {
						err = os.WriteFile(filepath.Join(here, f), b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := os.MkdirAll(filepath.Join(here, "disks"), 0o711); err != nil {
					t.Fatal(err)
				}
				if from == "behind a stop" { // behind a crash the log alone has to be reason enough
					if err := os.WriteFile(filepath.Join(here, "disks", "image-x.raw"), []byte("x"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.spoil(filepath.Join(here, "lodge.db")); err != nil {
					t.Fatal(err)
				}
				before := sums(t, here)
				sub := &lab{t: t}
				words := sub.refuses("--data-dir", here, "--socket", filepath.Join(here, "s"))
				t.Log(words)
				for _, want := range append(c.says, here) {
					if !strings.Contains(words, want) {
						t.Errorf("it does not say %q", want)
					}
				}
				if after := sums(t, here); !maps.Equal(before, after) {
					t.Errorf("the files were %v and are %v", before, after)
				}
				entries, _ := os.ReadDir(here)
				var names []string
				for _, e := range entries {
					names = append(names, e.Name())
				}
				if slices.ContainsFunc(names, func(s string) bool { return strings.Contains(s, "before") }) {
					t.Errorf("there is %v", names)
				}
			})
		}
	}
}
