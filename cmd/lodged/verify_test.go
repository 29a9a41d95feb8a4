package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/store"
)

// A file is verified as it lies there, with what is in its log still, and stays as
// it is.
func TestAFileIsVerifiedWithoutALodged(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tenant, err := db.EnsureInstallation(ctx, now, cloud.NewTenant{ID: uuid.NewString(), NetworkID: uuid.NewString(), SubnetID: uuid.NewString()})
	if err != nil {
		t.Fatal(err)
	}
	img, err := db.CreateImage(ctx, cloud.Caller{Operator: true}, now, cloud.NewImage{ID: uuid.NewString(), TenantID: tenant.ID, Name: "debian", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.RecordImage(ctx, now, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatQcow2, SHA256: "ab", SizeBytes: 1 << 20, VirtualSize: 1 << 30}}); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "lodge.db") // as a kill leaves it: with its log
	for _, tail := range []string{"", "-wal"} {
		if err := copyFile(killed+tail, path+tail); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, killed} {
		before := sum(t, file)
		var out bytes.Buffer
		if err := verifyFile(ctx, &out, file, ""); err != nil || !strings.Contains(out.String(), "1 intervals") {
			t.Errorf("%v: %s", err, out.String())
		}
		_, head, _ := strings.Cut(strings.TrimSpace(out.String()), "head ")
		if err := verifyFile(ctx, &out, file, head); err != nil {
			t.Errorf("with the head %s: %v", head, err)
		}
		other := head[:len(head)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(head, "0")]
		if err := verifyFile(ctx, &out, file, other); err == nil || !strings.Contains(out.String(), "head usage_seal") {
			t.Errorf("with another head: %v: %s", err, out.String())
		}
		if err := verifyFile(ctx, &out, file, "x"); err == nil || !strings.Contains(err.Error(), "NUMBER:SHA256") {
			t.Errorf("with no head: %v", err)
		}
		if sum(t, file) != before {
			t.Errorf("%s was changed", file)
		}
	}
	if err := verifyFile(ctx, &bytes.Buffer{}, filepath.Join(dir, "none.db"), ""); err == nil || !strings.Contains(err.Error(), "missing or empty") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func sum(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if wal, err := os.ReadFile(file + "-wal"); err == nil {
		b = append(b, wal...)
	}
	return sha256.Sum256(b)
}
