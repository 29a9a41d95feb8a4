package storage_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/storage"
)

func seed(user string) cloud.SeedSpec {
	return cloud.SeedSpec{ID: id(1), MetaData: "instance-id: " + id(1) + "\nlocal-hostname: web1\n", UserData: user}
}

// mtools reads the seed as Linux does, long names and all; blkid finds its label.
func TestASeedIsReadBackByOthers(t *testing.T) {
	for _, tool := range []string{"mdir", "mtype", "blkid"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	for name, user := range map[string]string{
		"short": "#cloud-config\n",
		"none":  "",
		"64KiB": "#!/bin/sh\n" + strings.Repeat("0123456789abcde\n", 4096)[:64<<10-10],
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := local(t, storage.Options{})
			if err := p.WriteSeed(context.Background(), seed(user)); err != nil {
				t.Fatal(err)
			}
			d, ok := look(t, p)[cloud.DiskKey{Kind: cloud.DiskSeed, ID: id(1)}]
			if !ok || d.Format != cloud.FormatRaw || d.SizeBytes > 256<<10 || d.SizeBytes%512 != 0 {
				t.Fatalf("seen %+v", d)
			}
			if user == "" {
				user = "#cloud-config\n{}\n"
			}
			for file, want := range map[string]string{"meta-data": seed("").MetaData, "user-data": user} {
				if got := run(t, "mtype", "-i", d.Path, "::"+file); got != want {
					t.Errorf("%s: %d bytes, want %d", file, len(got), len(want))
				}
			}
			if out := run(t, "mdir", "-b", "-i", d.Path, "::"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "::/meta-data\n") {
				t.Errorf("files:\n%s", out)
			}
			out := run(t, "blkid", "-p", "-o", "export", d.Path)
			if !strings.Contains(out, "\nLABEL=cidata\n") || !strings.Contains(out, "TYPE=vfat") {
				t.Errorf("blkid:\n%s", out)
			}
			// The library marks one cluster as used that no file has; that harms
			// nobody, and anything else would.
			if _, err := exec.LookPath("fsck.fat"); err == nil {
				out, _ := exec.Command("fsck.fat", "-n", d.Path).CombinedOutput()
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")
				if len(lines) != 5 || !strings.HasPrefix(lines[1], "Reclaimed 1 unused cluster") {
					t.Errorf("fsck.fat:\n%s", out)
				}
			}
		})
	}
}

func TestEqualSeedsHaveEqualBytesAndAChangedOneReplacesTheFile(t *testing.T) {
	p, dir := local(t, storage.Options{})
	ctx := context.Background()
	path := filepath.Join(dir, "seed-"+id(1)+".img")
	var was []byte
	var info os.FileInfo
	for i, user := range []string{"a", "a", "b"} {
		if err := p.WriteSeed(ctx, seed(user)); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(path)
		st, _ := os.Stat(path)
		if i == 1 && (!bytes.Equal(b, was) || !os.SameFile(st, info)) {
			t.Error("the same seed was written anew")
		}
		if i == 2 && bytes.Equal(b, was) {
			t.Error("the changed seed was not written")
		}
		was, info = b, st
	}
	if st, _ := os.Stat(path); st.Mode() != 0o600 {
		t.Errorf("mode %v: user data is nobody else's", st.Mode())
	}
	one, err := storage.SeedImage(seed("x"))
	if err != nil {
		t.Fatal(err)
	}
	if two, _ := storage.SeedImage(seed("x")); !bytes.Equal(one, two) {
		t.Error("equal specs made different bytes")
	}
	wantCode(t, p.WriteSeed(ctx, seed(strings.Repeat("x", 2<<20))), cloud.CodeStorage)
	for range 2 {
		if err := p.RemoveDisk(ctx, cloud.DiskSeed, id(1)); err != nil {
			t.Fatal(err)
		}
	}
	wantEmpty(t, dir)
}
