package cert

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// childDir names the folder in the environment of a process that is to be
// killed.
const childDir = "LODGE_CERT_TEST_CHILD"

func TestAStartRecoversFromARealKill(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		_, _ = Open(Options{Dir: dir, Hosts: []string{"127.0.0.1"}})
		select {}
	}
	// The kill comes as soon as a file is seen, and so in or after its writing.
	for _, name := range []string{".ca.key.part", caKeyFile, ".ca.crt.part", caCertFile, ".server.pem.part", serverFile} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cert")
			child := exec.Command(os.Args[0], "-test.run=^TestAStartRecoversFromARealKill$")
			child.Env = append(os.Environ(), childDir+"="+dir)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			// A part may come and go unseen; the last file stays.
			for end := time.Now().Add(30 * time.Second); !exists(dir, name) && !exists(dir, serverFile); {
				if time.Now().After(end) {
					t.Error("the child wrote nothing")
					break
				}
			}
			_ = child.Process.Kill()
			_ = child.Wait()
			left, _ := filepath.Glob(filepath.Join(dir, "*"))
			t.Logf("killed with %d files", len(left))
			crt, _ := os.ReadFile(filepath.Join(dir, caCertFile))
			s := mustOpen(t, Options{Dir: dir, Hosts: []string{"127.0.0.1"}})
			if ca, _ := s.CA(); crt != nil && string(ca) != string(crt) {
				t.Error("another CA")
			}
			mustMeet(t, serve(t, s), pinned(t, s, nil))
		})
	}
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
