package store_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"lodge/cloud"
	"lodge/store"
)

// killedPath says to this test binary that it is to be killed while it writes to
// the database at the path.
const killedPath = "LODGE_TEST_KILLED_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedPath); path != "" {
		fmt.Println(writeUntilKilled(path))
		os.Exit(1)
	}
	if path := os.Getenv(actsPath); path != "" {
		actUntilKilled(path)
	}
	if path := os.Getenv(upgradesPath); path != "" {
		upgradeUntilKilled(path)
	}
	if path := os.Getenv(closesPath); path != "" {
		closeUntilKilled(path)
	}
	os.Exit(m.Run())
}

// writeUntilKilled makes instances, records every other one running, and tells
// which operations were begun.
func writeUntilKilled(path string) error {
	db, err := store.OpenWith(path, roomy)
	if err != nil {
		return err
	}
	w := &world{DB: db, now: noon, tenant: cloud.Tenant{Meta: cloud.Meta{ID: id("tenant")}}}
	for n := 0; ; n++ {
		c := follows(operator)
		i, err := w.CreateInstance(ctx, c, w.now, w.wanted(fmt.Sprint("web", n)))
		if err != nil {
			return err
		}
		if n%2 == 0 {
			if err := w.RecordInstance(ctx, w.running(i)); err != nil {
				return err
			}
		}
		fmt.Println("begun", c.Begin.Begun[0])
	}
}

// A wish and its operation are one transaction, and so are an outcome and the end
// of the operation: no kill comes between them.
func TestAKillLeavesEachWishWithItsOperation(t *testing.T) {
	w := newWorldWith(t, roomy)
	w.must(w.Close())
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killedPath+"="+w.path)
	out, err := child.StdoutPipe()
	w.must(err)
	w.must(child.Start())
	var told []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		op, ok := strings.CutPrefix(lines.Text(), "begun ")
		if !ok {
			t.Fatal(lines.Text())
		}
		if told = append(told, op); len(told) == 20 {
			w.must(child.Process.Kill())
		}
	}
	_ = child.Wait() // it was killed
	if len(told) < 20 {
		t.Fatalf("it ended by itself after %d operations", len(told))
	}

	db, err := store.OpenWith(w.path, roomy)
	w.must(err)
	t.Cleanup(func() { db.Close() })
	w.DB = db
	for _, op := range told {
		w.operation(op)
	}
	instances, _, err := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{Limit: 500})
	w.must(err)
	for _, i := range instances {
		ops, _, err := w.Operations(ctx, operator, cloud.OperationFilter{SubjectID: i.ID}, cloud.Page{})
		w.must(err)
		if len(ops) != 1 || (ops[0].State == cloud.OperationSucceeded) != (i.State == cloud.StateRunning) {
			t.Errorf("%s is %s and has the operations %+v", i.Name, i.State, ops)
		}
	}
	if len(instances) < len(told) {
		t.Errorf("%d instances, and %d operations were told of", len(instances), len(told))
	}
}
