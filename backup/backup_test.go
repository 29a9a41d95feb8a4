package backup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"lodge/backup"
	"lodge/cloud"
)

var (
	ctx  = context.Background()
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// source is a data dir whose database is a text.
func source(t *testing.T) backup.Source {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"host-id": hostA + "\n", "tls/ca.key": "secret", "tls/ca.crt": "cert", "tls/.ca.key.part": "half", "junk": "x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := noon
	return backup.Source{
		Copy: func(_ context.Context, to string) error {
			return os.WriteFile(to, []byte(strings.Repeat("rows ", 10_000)), 0o600)
		},
		Facts: func(context.Context, string) (backup.Facts, error) { return facts, nil },
		Dir:   dir, Files: []string{"host-id", "tls", "acme"}, Work: t.TempDir(),
		HostID: hostA, Version: "test", Now: func() time.Time { at = at.Add(time.Second); return at },
	}
}

var facts = backup.Facts{Schema: 20, Instances: 3, Links: 7}

func judge(context.Context, string) ([]string, backup.Facts, error) { return nil, facts, nil }

func place(t *testing.T, where string) backup.Place {
	t.Helper()
	p, err := backup.OpenPlace(where, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// contract is what every place holds to.
func contract(t *testing.T, p backup.Place) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := source(t)
	ids, err := p.List(ctx)
	must(err)
	if len(ids) != 0 {
		t.Fatalf("an empty place lists %v", ids)
	}
	first, err := backup.Make(ctx, p, s)
	must(err)
	second, err := backup.Make(ctx, p, s)
	must(err)
	ids, err = p.List(ctx)
	must(err)
	if !slices.Equal(ids, []string{second.ID, first.ID}) {
		t.Fatalf("listed %v", ids)
	}
	m, err := backup.Find(ctx, p, "latest", hostA)
	must(err)
	if m.ID != second.ID || m.Instances != 3 || m.Schema != 20 || m.HostID != hostA || m.Encrypted || !m.TakenAt.Equal(second.TakenAt) {
		t.Errorf("manifest %+v", m)
	}
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"lodge.db", "host-id", "tls/ca.crt", "tls/ca.key"}) {
		t.Errorf("files %v", names)
	}
	wrong, sealed, err := backup.Verify(ctx, p, m, nil, t.TempDir(), judge)
	must(err)
	if len(wrong) > 0 || sealed {
		t.Errorf("a whole backup is wrong: %v", wrong)
	}
	dir := t.TempDir()
	_, err = backup.Unpack(ctx, p, m, nil, dir)
	must(err)
	b, err := os.ReadFile(filepath.Join(dir, "tls/ca.key"))
	must(err)
	if info, _ := os.Stat(filepath.Join(dir, "tls/ca.key")); string(b) != "secret" || info.Mode().Perm() != 0o600 {
		t.Errorf("unpacked %q with mode %v", b, info.Mode())
	}
	// One that fails is no backup.
	s.Facts = func(context.Context, string) (backup.Facts, error) { return facts, nil }
	s.Extra = []backup.Input{{Name: "x", Path: t.TempDir()}} // a folder cannot be read as a file
	if _, err := backup.Make(ctx, p, s); err == nil {
		t.Error("a backup of what cannot be read was made")
	}
	if ids, err = p.List(ctx); err != nil || len(ids) != 2 {
		t.Errorf("listed %v, %v", ids, err)
	}
	must(p.Delete(ctx, first.ID))
	if err := p.Delete(ctx, first.ID); cloud.CodeOf(err) != cloud.CodeNotFound {
		t.Errorf("deleted twice: %v", err)
	}
	for _, name := range []string{first.ID, "nonsense", "../" + second.ID} {
		if _, err := backup.Find(ctx, p, name, hostA); cloud.CodeOf(err) != cloud.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ids, err = p.List(ctx); err != nil || !slices.Equal(ids, []string{second.ID}) {
		t.Errorf("listed %v, %v", ids, err)
	}
}

func TestAFolderKeepsBackups(t *testing.T) { contract(t, place(t, t.TempDir())) }

func TestAPlaceIsAFolderOrABucket(t *testing.T) {
	for _, bad := range []string{"", "backups", "./x", "s3:", "s3:host/bucket", "s3:https://host", "s3:ftp://host/bucket", "s3:https://key:secret@host/bucket"} {
		if _, err := backup.OpenPlace(bad, backup.Options{}); cloud.CodeOf(err) != cloud.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNothingOfABackupIsOpenToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	if _, err := backup.Make(ctx, place(t, dir), source(t)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifySaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	p := place(t, dir)
	m, err := backup.Make(ctx, p, source(t))
	if err != nil {
		t.Fatal(err)
	}
	data, manifest := filepath.Join(dir, m.ID, "data.tar.zst"), filepath.Join(dir, m.ID, "manifest.json")
	whole, _ := os.ReadFile(data)
	text, _ := os.ReadFile(manifest)
	change := func(f func(*backup.Manifest)) []byte {
		c := m
		c.Files = slices.Clone(m.Files)
		f(&c)
		b, _ := json.Marshal(c)
		return b
	}
	flipped := slices.Clone(whole)
	flipped[len(flipped)/2] ^= 0x10
	for _, tc := range []struct {
		name           string
		data, manifest []byte
		says           string
	}{
		{"a bit has flipped", flipped, text, "archive: its SHA-256 is"},
		{"the end is cut off", whole[:len(whole)-5], text, "bytes and the manifest says"},
		{"it is empty", nil, text, "lodge.db: it is in the manifest and not in the archive"},
		{"another file", whole, change(func(m *backup.Manifest) { m.Files[1].SHA256 = "00" }), "host-id: it has"},
		{"a file is missing", whole, change(func(m *backup.Manifest) {
			m.Files = append(m.Files, backup.File{Name: "acme/key", Size: 1, SHA256: "00"})
		}), "acme/key: it is in the manifest and not in the archive"},
		{"a file too many", whole, change(func(m *backup.Manifest) { m.Files = m.Files[:1] }), `"host-id": it is in the archive and not in the manifest`},
		{"another number of instances", whole, change(func(m *backup.Manifest) { m.Instances = 4 }), "manifest: it says 4 instances and the database has 3"},
		{"another end of the chain", whole, change(func(m *backup.Manifest) { m.Links = 8 }), "the ledger's chain ends with link 8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := errors.Join(os.WriteFile(data, tc.data, 0o600), os.WriteFile(manifest, tc.manifest, 0o600)); err != nil {
				t.Fatal(err)
			}
			got, err := backup.Find(ctx, p, m.ID, hostA)
			if err != nil {
				t.Fatal(err)
			}
			wrong, _, err := backup.Verify(ctx, p, got, nil, t.TempDir(), judge)
			if err != nil || !strings.Contains(strings.Join(wrong, "\n"), tc.says) {
				t.Errorf("got %q, %v", wrong, err)
			}
		})
	}
	for name, bad := range map[string][]byte{
		"a path out of the folder": change(func(m *backup.Manifest) { m.Files[1].Name = "../../etc/passwd" }),
		"another backup's":         change(func(m *backup.Manifest) { m.ID = backup.NewID(noon, hostB, true) }),
		"a newer format":           change(func(m *backup.Manifest) { m.Format = 2 }),
		"half of one":              text[:40],
	} {
		if err := os.WriteFile(manifest, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Find(ctx, p, m.ID, hostA); err == nil {
			t.Errorf("the manifest was read with %s", name)
		}
	}
}

// Whoever asks for the latest and cannot have it is told which one to name.
func TestLatestSaysWhichOneCanBeRead(t *testing.T) {
	dir := t.TempDir()
	p, s := place(t, dir), source(t)
	var made []string
	for range 3 {
		m, err := backup.Make(ctx, p, s)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, m.ID)
	}
	for _, id := range made[1:] {
		if err := os.WriteFile(filepath.Join(dir, id, "manifest.json"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := backup.Find(ctx, p, "latest", hostA); err == nil || !strings.Contains(err.Error(), made[2]) || !strings.Contains(err.Error(), "can be read is "+made[0]+": name it") {
		t.Errorf("it says %v", err)
	}
	if m, err := backup.Find(ctx, p, made[0], hostA); err != nil || m.ID != made[0] {
		t.Errorf("found %+v, %v", m, err)
	}
}

func TestABackupForARecipient(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p, s := place(t, dir), source(t)
	s.To = key.Recipient()
	m, err := backup.Make(ctx, p, s)
	if err != nil || !m.Encrypted {
		t.Fatalf("made %+v, %v", m, err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, m.ID, "data.tar.zst.age"))
	if !strings.HasPrefix(string(b), "age-encryption.org/v1") {
		t.Errorf("it begins with %.30q", b)
	}
	if wrong, sealed, err := backup.Verify(ctx, p, m, nil, t.TempDir(), judge); err != nil || len(wrong) > 0 || !sealed {
		t.Errorf("without a key: %v, %v, %v", wrong, sealed, err)
	}
	if wrong, sealed, err := backup.Verify(ctx, p, m, []age.Identity{key}, t.TempDir(), judge); err != nil || len(wrong) > 0 || sealed {
		t.Errorf("with the key: %v, %v, %v", wrong, sealed, err)
	}
	if wrong, _, _ := backup.Verify(ctx, p, m, []age.Identity{other}, t.TempDir(), judge); len(wrong) == 0 {
		t.Error("another key opened it")
	}
	if _, err := backup.Unpack(ctx, p, m, nil, t.TempDir()); !backup.Sealed(err) {
		t.Errorf("unpacked without a key: %v", err)
	}
}

// The process is killed in the middle: nothing is listed, and the next one sweeps.
func TestAKilledBackupIsNone(t *testing.T) {
	if dir := os.Getenv("LODGE_BACKUP_KILL"); dir != "" {
		s := source(t)
		err := place(t, dir).Put(ctx, backup.NewID(noon, hostA, true), func(w io.Writer) (backup.Manifest, error) {
			_, _ = w.Write(make([]byte, 1<<20))
			fmt.Println("half")
			time.Sleep(time.Minute)
			return backup.Manifest{}, nil
		})
		t.Fatal("it went on", err, s.HostID)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAKilledBackupIsNone$")
	cmd.Env = append(os.Environ(), "LODGE_BACKUP_KILL="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	p := place(t, dir)
	if n, err := p.Sweep(ctx, hostA, time.Now()); n != 0 || err != nil {
		t.Errorf("one under way was swept: %d, %v", n, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ids, err := p.List(ctx); err != nil || len(ids) > 0 {
		t.Errorf("listed %v, %v", ids, err)
	}
	if n, err := p.Sweep(ctx, hostB, time.Now()); n != 0 || err != nil {
		t.Errorf("another host swept it at once: %d, %v", n, err)
	}
	if n, err := p.Sweep(ctx, hostA, time.Now()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestTheRunnerMakesKeepsAndTells(t *testing.T) {
	dir := t.TempDir()
	s := source(t)
	now := noon
	s.Now, s.Scheduled = func() time.Time { return now }, true
	fail := false
	copies := s.Copy
	s.Copy = func(ctx context.Context, to string) error {
		if fail {
			return errors.New("no room")
		}
		return copies(ctx, to)
	}
	var told []error
	r := &backup.Runner{
		Place: place(t, dir), Source: s, Keep: backup.Keep{Hourly: 2}, Now: s.Now, Log: slog.New(slog.DiscardHandler),
		Told: func(_ context.Context, _ backup.Manifest, err error) { told = append(told, err) },
	}
	for range 4 {
		now = now.Add(time.Hour)
		r.Once(ctx)
	}
	if ids, err := r.Place.List(ctx); err != nil || len(ids) != 2 {
		t.Errorf("kept %v, %v", ids, err)
	}
	if st := r.State(); !st.Last.Equal(now) || st.Failures != 0 || st.Bytes == 0 {
		t.Errorf("state %+v", st)
	}
	last := now
	fail, now = true, now.Add(time.Hour)
	r.Once(ctx)
	if st := r.State(); !st.Last.Equal(last) || st.Failures != 1 || !st.Failed.Equal(now) {
		t.Errorf("state %+v", st)
	}
	if len(told) != 5 || told[4] == nil {
		t.Errorf("told %v", told)
	}
	if ids, _ := r.Place.List(ctx); len(ids) != 2 {
		t.Errorf("a failure took backups away: %v", ids)
	}
}
