package backup_test

import (
	"strings"
	"testing"
	"time"

	"lodge/backup"
	"lodge/cloud"
)

// Hosts share a place: latest is of one of them, and never the one that happens to
// be the newest.
func TestLatestIsOfOneHost(t *testing.T) {
	p, at := place(t, t.TempDir()), noon
	var hosts []string
	made := func(host string) string {
		t.Helper()
		s := source(t)
		at = at.Add(time.Hour)
		s.HostID, s.Now = host, func() time.Time { return at }
		m, err := backup.Make(ctx, p, s)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, host)
		return m.ID
	}
	latest := func(host, want string) {
		t.Helper()
		if m, err := backup.Find(ctx, p, "latest", host); err != nil || m.ID != want {
			t.Errorf("behind backups of %v latest of %q is %q, %v; want %s", hosts, host, m.ID, err, want)
		}
	}
	refused := func(host string, code cloud.Code, says ...string) {
		t.Helper()
		m, err := backup.Find(ctx, p, "latest", host)
		if cloud.CodeOf(err) != code {
			t.Fatalf("behind backups of %v latest of %q is %q, %v", hosts, host, m.ID, err)
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("it does not say %s: %v", s, err)
			}
		}
	}
	const hostC = "cccccccc-0000-4000-8000-000000000003"
	refused(hostA, cloud.CodeNotFound, "There are no backups")
	made(hostA)
	a := made(hostA)
	latest(hostA, a)
	latest("", a)
	refused(hostB, cloud.CodeNotFound, hostB, a)
	b := made(hostB)
	latest(hostA, a)
	latest(hostB, b)
	refused("", cloud.CodeConflict, "2 hosts", a, b)
	refused(hostC, cloud.CodeNotFound, hostC, a, b)
	if m, err := backup.Find(ctx, p, b, hostA); err != nil || m.ID != b {
		t.Errorf("by its name: %+v, %v", m, err)
	}
}
