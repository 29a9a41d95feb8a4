package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lodge/store"
)

func TestDoctorTriesTheUpgradeOnACopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	look := func() finding { return judgeDatabase(probeDatabase(context.Background(), dir)) }
	if f := look(); f.Level != levelOK || !strings.Contains(f.Found, "no database yet") {
		t.Errorf("of nothing: %+v", f)
	}
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.Level != levelOK || !strings.Contains(f.Found, "up to date") {
		t.Errorf("of the newest: %+v", f)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(b); i++ {
		b[i] = 0xa5
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.Level != levelFail {
		t.Errorf("of a damaged one: %+v", f)
	}
	old := judgeDatabase(databaseFacts{path: path, size: 1 << 20, ran: []store.Migration{{Version: 15, Name: "0015_schedule"}, {Version: 16, Name: "0016_export"}}})
	if old.Level != levelOK || !strings.Contains(old.Found, "0015_schedule, 0016_export") {
		t.Errorf("of an older one: %+v", old)
	}
	if f := judgeDatabase(databaseFacts{path: path, ran: []store.Migration{{Version: 16, Name: "0016_export"}}, wrong: []string{"references: row 1"}}); f.Level != levelFail || !strings.Contains(f.Do, "Stay with") {
		t.Errorf("of one whose upgrade breaks: %+v", f)
	}
}

// What a start meets, or somebody who asks for what is lost, doctor meets: it reads
// all of the file.
func TestDoctorFindsDamageInADatabaseThatIsUpToDate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	var leaf int64
	if err := errors.Join(raw.QueryRow(`SELECT rootpage FROM sqlite_master WHERE name = 'event'`).Scan(&leaf), raw.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[(leaf-1)*4096:leaf*4096], bytes.Repeat([]byte{0x5a}, 4096))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f := judgeDatabase(probeDatabase(context.Background(), dir))
	if f.Level != levelFail || !strings.Contains(f.Found, "The database "+path+" is damaged") || !strings.Contains(strings.ToLower(f.Found+f.Do), "restore a backup") {
		t.Errorf("got %+v", f)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the file was changed, %v", err)
	}
}

func TestDoctorSaysThatAStartWouldBeRefused(t *testing.T) {
	dir := t.TempDir()
	look := func() finding { return judgeDatabase(probeDatabase(context.Background(), dir)) }
	for name, says := range map[string]string{"restoring": "a restore was begun", "host-id": "this host has had one"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := look(); f.Level != levelFail || !strings.Contains(f.Found, says) {
			t.Errorf("with %s: %+v", name, f)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackupFlagsAreChecked(t *testing.T) {
	for _, tc := range []struct{ args, says string }{
		{"backup list", "No place for backups is set"},
		{"backup list --backup-to relative", "neither a folder's whole path nor s3:"},
		{"backup list --backup-to /x --backup-keep often", "use hourly=24,daily=7,weekly=4"},
		{"backup list --backup-schedule '0 * * * *'", "goes with --backup-to"},
		{"backup list --backup-to /x --backup-schedule daily", "five fields of cron"},
		{"backup list --backup-to /x --backup-recipient me", "no recipient of age"},
		{"backup show ../x --backup-to /x", "There is no backup ../x"},
		{"backup delete latest --backup-to /x", "by its id"},
		{"backup restore latest --sim --backup-to /x", "pretend host"},
		{"backup list -o yaml --backup-to /x", "use text or json"},
	} {
		cmd := command()
		var args []string
		for part := range strings.SplitSeq(tc.args, "'") {
			if strings.Contains(part, "* * *") {
				args = append(args, part)
				continue
			}
			args = append(args, strings.Fields(part)...)
		}
		cmd.SetArgs(append(args, "--data-dir", filepath.Join(t.TempDir(), "d")))
		cmd.SetOut(new(strings.Builder))
		cmd.SetErr(new(strings.Builder))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.args, err)
		}
	}
}
