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

// TestTheOneThatIsKilled is no test by itself: it makes instances and tells which
// operations were begun until it is killed.
func TestTheOneThatIsKilled(t *testing.T) {
	path := os.Getenv(killedPath)
	if path == "" {
		t.Skip("it is run by TestAKillLeavesEachWishWithItsOperation")
	}
	db, err := store.OpenWith(path, roomy)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{DB: db, t: t, path: path, now: noon}
	for n := 0; ; n++ {
		c := follows(operator)
		want := w.wanted(fmt.Sprint("web", n))
		want.TenantID = id("tenant")
		i, err := w.CreateInstance(ctx, c, w.now, want)
		w.must(err)
		if n%2 == 0 {
			w.record(w.running(i))
		}
		fmt.Println("begun", w.begun(c))
	}
}

// A wish and its operation are one transaction, and so are an outcome and the end
// of the operation: no kill comes between them.
func TestAKillLeavesEachWishWithItsOperation(t *testing.T) {
	w := newWorldWith(t, roomy)
	w.must(w.Close())
	child := exec.Command(os.Args[0], "-test.run=^TestTheOneThatIsKilled$", "-test.timeout=60s")
	child.Env = append(os.Environ(), killedPath+"="+w.path)
	out, err := child.StdoutPipe()
	w.must(err)
	w.must(child.Start())
	var told []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		op, ok := strings.CutPrefix(lines.Text(), "begun ")
		if !ok {
			continue
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
