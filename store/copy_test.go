package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

// Somebody writes all the time; each copy is whole and as the file was at one
// moment: the instances in it are the first n that were made.
func TestACopyIsWholeWhileOthersWrite(t *testing.T) {
	w := newWorld(t)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("vm%03d", n)
			if _, err := w.CreateInstance(ctx, operator, w.now, w.wanted(name)); err != nil {
				if cloud.CodeOf(err) != cloud.CodeAddresses && cloud.CodeOf(err) != cloud.CodeCapacity {
					t.Error(err)
				}
				return
			}
		}
	})
	dir := t.TempDir()
	for n := range 5 {
		dst := filepath.Join(dir, fmt.Sprintf("copy%d.db", n))
		w.must(store.Copy(ctx, w.path, dst))
		wrong, err := store.Check(ctx, dst)
		w.must(err)
		if len(wrong) > 0 {
			t.Fatalf("the copy is broken: %v", wrong)
		}
		info, err := os.Stat(dst)
		w.must(err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the copy has mode %v", info.Mode())
		}
		facts, err := store.Inspect(ctx, dst)
		w.must(err)
		again, err := store.Open(dst)
		w.must(err)
		all, _, err := again.Instances(ctx, operator, cloud.Filter{}, cloud.Page{Limit: 500})
		w.must(err)
		w.must(again.Close())
		if facts.Instances != len(all) || facts.Schema == 0 || len(facts.Hosts) != 1 {
			t.Errorf("facts %+v of %d instances", facts, len(all))
		}
		names := map[string]bool{}
		for _, i := range all {
			names[i.Name] = true
		}
		for n := range all {
			if !names[fmt.Sprintf("vm%03d", n)] {
				t.Errorf("of %d instances vm%03d is missing: it is no moment of the file", len(all), n)
			}
		}
	}
	close(stop)
	writer.Wait()
}

func TestACopyThatIsGivenUpLeavesNothing(t *testing.T) {
	w := newWorld(t)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	dst := filepath.Join(t.TempDir(), "copy.db")
	if err := store.Copy(gone, w.path, dst); err == nil {
		t.Fatal("it was made")
	}
	if _, err := os.Stat(dst); !os.IsNotExist(err) {
		t.Fatalf("something is left: %v", err)
	}
}

func TestCheckNamesWhatIsBroken(t *testing.T) {
	w := newWorld(t)
	w.run("web1")
	dst := filepath.Join(t.TempDir(), "copy.db")
	w.must(store.Copy(ctx, w.path, dst))
	_, err := raw(t, dst).Exec(`PRAGMA foreign_keys = OFF; DELETE FROM tenant`)
	w.must(err)
	wrong, err := store.Check(ctx, dst)
	w.must(err)
	if len(wrong) == 0 || !strings.Contains(strings.Join(wrong, "\n"), "names a row of tenant that is not there") {
		t.Fatalf("got %v", wrong)
	}
	torn := filepath.Join(t.TempDir(), "torn.db")
	w.must(store.Copy(ctx, w.path, torn))
	b, err := os.ReadFile(torn)
	w.must(err)
	for i := 4096 * 3; i < 4096*20; i++ {
		b[i] = 0xa5
	}
	w.must(os.WriteFile(torn, b, 0o600))
	wrong, err = store.Check(ctx, torn)
	if err == nil && len(wrong) == 0 {
		t.Fatal("torn pages were not found")
	}
}

// An older file is copied before it is migrated, and the copy is what the older
// lodge wrote.
func TestAnUpgradeKeepsACopyFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	loadLevel(t, path, levels(t)[0])
	ran, wrong, err := store.Rehearse(ctx, path, dir)
	if err != nil || len(wrong) > 0 || len(ran) == 0 || ran[0].Version != 2 {
		t.Fatalf("the rehearsal ran %v and found %v, %v", ran, wrong, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".lodge-*"))
	if len(left) > 0 {
		t.Errorf("the rehearsal left %v", left)
	}
	before, err := store.Inspect(ctx, path)
	if err != nil || before.Schema != 1 {
		t.Fatalf("the rehearsal changed the file: %+v, %v", before, err)
	}
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := store.Inspect(ctx, path+".before-0002")
	if err != nil || kept.Schema != 1 || kept.Instances != before.Instances {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	db, err = store.Open(path) // up to date: no copy
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	copies, _ := filepath.Glob(path + ".before-*")
	if len(copies) != 1 {
		t.Errorf("copies %v", copies)
	}
}

func TestThreeCopiesOfUpgradesStay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	for _, level := range levels(t)[:5] {
		for _, tail := range []string{"", "-wal", "-shm"} {
			os.Remove(path + tail)
		}
		loadLevel(t, path, level)
		db, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	copies, _ := filepath.Glob(path + ".before-*")
	if len(copies) != 3 || !strings.HasSuffix(copies[0], ".before-0004") {
		t.Errorf("copies %v", copies)
	}
}

// An upgrade that cannot keep its copy does not begin.
func TestAnUpgradeWithoutRoomForTheCopyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lodge.db")
	loadLevel(t, path, levels(t)[0])
	if err := os.MkdirAll(path+".before-0002.part/x", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path); err == nil {
		t.Fatal("it was opened")
	}
	if f, err := store.Inspect(ctx, path); err != nil || f.Schema != 1 {
		t.Fatalf("got %+v, %v", f, err)
	}
}

// Every schema that there ever was comes up to the present one with its rows, its
// references and its ledger.
func TestEveryLevelMigratesToTheNewest(t *testing.T) {
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lodge.db")
			loadLevel(t, path, level)
			before, err := store.Inspect(ctx, path)
			if err != nil || fmt.Sprintf("%04d", before.Schema) != level {
				t.Fatalf("the dump is %+v, %v", before, err)
			}
			db, err := store.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			all, _, err := db.Instances(ctx, operator, cloud.Filter{}, cloud.Page{Limit: 10})
			if err != nil || len(all) != 2 || all[0].Name != "web1" || len(all[0].Ports) != 1 {
				t.Fatalf("instances %+v, %v", all, err)
			}
			wishes, err := db.InstanceWishes(ctx, all[0].HostID, nil)
			if err != nil || len(wishes) != 2 || wishes[0].Image.ID == "" {
				t.Fatalf("wishes %+v, %v", wishes, err)
			}
			wrong, err := store.Check(ctx, path)
			if err != nil || len(wrong) > 0 {
				t.Fatalf("found %v, %v", wrong, err)
			}
			var report meter.Report
			err = db.ReadLedger(ctx, func(l cloud.Ledger) (err error) { report, err = meter.Verify(l); return err })
			if err != nil || report.Wrong > 0 || report.Intervals == 0 {
				t.Fatalf("the ledger: %+v, %v", report, err)
			}
		})
	}
}
