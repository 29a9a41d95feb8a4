package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shipLag is how old a change may be and be lost with the machine: a second until
// Litestream looks, one until it sends, and the work. Documented in operations.md.
const shipLag = 4 * time.Second

// The machine dies under load, with lodged and Litestream; nothing is left but what
// was shipped and the guests. lodged goes on with that: all that was promised more
// than the lag ago is there, the guest runs on without a boot, and the ledger is whole.
// Litestream gets along with a lodged that checkpoints, ends and starts, lodged with
// a Litestream that dies and comes back, and what is restored is shipped again to
// where it came from. When only lodged dies, nothing at all is lost.
func TestWhatIsShippedIsThereWhenTheMachineIsNot(t *testing.T) {
	s := &shipped{program: os.Getenv("LODGE_LITESTREAM"), server: os.Getenv("LODGE_S3_SERVER")}
	if s.program == "" || s.server == "" {
		t.Skip("needs Litestream and an S3 server: LODGE_LITESTREAM and LODGE_S3_SERVER name them; scripts/test builds both")
	}
	s.lab = newLab(t)
	s.importTiny()
	s.keeper = s.tiny("keeper")
	s.pid = s.qemu(s.keeper)
	bucket, folder := s.bucket(), "file://"+filepath.Join(scratch(t), "shipped")

	t.Log("to a bucket; lodged ends and starts in the middle")
	s.ship(bucket)
	s.load(2 * time.Second)
	s.stop()
	s.start()
	s.load(shipLag + time.Second)
	s.disaster(bucket, shipLag)

	t.Log("to the same bucket again; Litestream is killed in the middle, and lodged goes on")
	s.ship(bucket)
	s.load(time.Second)
	s.end(syscall.SIGKILL)
	s.load(2 * time.Second)
	s.ship(bucket)
	s.load(shipLag + time.Second)
	s.disaster(bucket, shipLag)

	t.Log("to a folder; only lodged is killed")
	s.ship(folder)
	s.load(2 * time.Second)
	s.disaster(folder, 0)
}

// shipped is a lab whose database Litestream ships.
type shipped struct {
	*lab
	program, server string
	keeper          string // a guest that shall run through all of it
	pid             int    // of its QEMU
	shipper         *exec.Cmd
	words           bytes.Buffer // of Litestream
	made            int          // flavors, for their names
	promised        map[string]time.Time
}

// bucket starts a real server of S3 on loopback and returns the URL of a place there.
func (s *shipped) bucket() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := scratch(s.t)
	for _, d := range []string{"meta", "data", "data/backups"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "lodge", "AWS_SECRET_ACCESS_KEY": "not-a-secret",
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"), "AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_CA_BUNDLE": "", "AWS_PROFILE": "",
	} {
		s.t.Setenv(name, value)
	}
	cmd := exec.Command(s.server, "--port", addr, "--access", "lodge", "--secret", "not-a-secret", "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.eventually(20*time.Second, "the S3 server answers", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "s3://backups/rack1?endpoint=http://" + addr + "&forcePathStyle=true"
}

// ship starts Litestream.
func (s *shipped) ship(url string) {
	s.t.Helper()
	s.words.Reset()
	s.shipper = exec.Command(s.program, "replicate", filepath.Join(s.dir, "lodge.db"), url)
	s.shipper.Stdout, s.shipper.Stderr = &s.words, &s.words
	if err := s.shipper.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.shipper.Process.Kill() })
}

// end ends Litestream, which must have had no trouble.
func (s *shipped) end(sig syscall.Signal) {
	s.t.Helper()
	_ = s.shipper.Process.Signal(sig)
	if err := s.shipper.Wait(); err != nil && sig == syscall.SIGTERM {
		s.t.Errorf("Litestream ended with %v", err)
	}
	if out := s.words.String(); strings.Contains(out, "ERROR") {
		s.t.Errorf("Litestream said:\n%s", out)
	}
}

// load makes flavors, four at a time, and writes down when each was promised.
func (s *shipped) load(d time.Duration) {
	s.t.Helper()
	if s.promised == nil {
		s.promised = map[string]time.Time{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	before := s.size()
	had := len(s.promised)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				s.made++
				id := fmt.Sprintf("f-%d", s.made)
				mu.Unlock()
				body := strings.NewReader(`{"id": "` + id + `", "vcpus": 1, "memory_mib": 64, "disk_gib": 1}`)
				resp, err := s.http.Post("http://lodge/v1/flavors", "application/json", body)
				if err != nil {
					s.t.Errorf("make a flavor: %v", err)
					return
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					s.t.Errorf("make a flavor: %d %s", resp.StatusCode, b)
					return
				}
				mu.Lock()
				s.promised[id] = time.Now()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.t.Logf("%d changes in %v; the database file grew by %d KiB", len(s.promised)-had, d, (s.size()-before)>>10)
}

// size is that of the database's file, which grows by checkpoints alone.
func (s *shipped) size() int64 {
	info, err := os.Stat(filepath.Join(s.dir, "lodge.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Size()
}

// disaster kills lodged, and with a lag Litestream too, removes the database, takes
// it from what was shipped, and looks what is there. Without a lag nothing may be lost.
func (s *shipped) disaster(url string, lag time.Duration) {
	s.t.Helper()
	runs := s.ledgerRuns(s.keeper)
	at := time.Now()
	if lag > 0 {
		s.end(syscall.SIGKILL)
		s.kill()
	} else {
		s.kill()
		s.end(syscall.SIGTERM)
	}
	for _, name := range []string{"lodge.db", "lodge.db-wal", "lodge.db-shm", ".lodge.db-litestream"} {
		if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
			s.t.Fatal(err)
		}
	}
	back := filepath.Join(scratch(s.t), "lodge.db")
	if out, err := exec.Command(s.program, "restore", "-o", back, url).CombinedOutput(); err != nil {
		s.t.Fatalf("litestream restore: %v\n%s\nand before that:\n%s", err, out, s.words.String())
	}
	s.t.Log(s.must(s.lodged("backup", "restore", "--replace", "--database", back)))
	s.start()
	s.eventually(time.Minute, "the host was compared", func() bool { return s.aftermath().Restore.AdoptedAt != nil })
	s.settled(s.keeper, "running")
	if now := s.qemu(s.keeper); now != s.pid {
		s.t.Errorf("the guest had process %d and has %d", s.pid, now)
	}
	again := s.ledgerRuns(s.keeper)
	if len(again) != 1 || len(runs) != 1 || !again[0].start.Equal(runs[0].start) || !again[0].end.IsZero() {
		s.t.Errorf("the keeper's runs were %v and are %v", runs, again)
	}
	if out := s.lodge("usage", "verify"); !strings.Contains(out, "HEAD") {
		s.t.Errorf("verify: %s", out)
	}
	s.compare(at, lag)
}

// compare looks for all that was promised, and forgets what may be lost and is.
func (s *shipped) compare(at time.Time, lag time.Duration) {
	s.t.Helper()
	rows, err := s.db().Query(`SELECT id FROM flavor`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	there := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			s.t.Fatal(err)
		}
		there[id] = true
	}
	var lost int
	var oldest time.Duration
	for id, promised := range s.promised {
		if there[id] {
			continue
		}
		lost++
		delete(s.promised, id)
		if age := at.Sub(promised); age > oldest {
			oldest = age
		}
	}
	s.t.Logf("%d of %d changes are lost, the oldest was promised %v before the end", lost, lost+len(s.promised), oldest.Round(time.Millisecond))
	if oldest > lag || lag == 0 && lost > 0 {
		s.t.Errorf("what was promised %v before the end is lost", oldest)
	}
}
