package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/store"
)

// A hypervisor that is silent at the start holds the API up for so long and no longer.
func TestAStartWaitsForNoSilentHypervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(filepath.Join(t.TempDir(), "lodge.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		id, began := uuid.NewString(), time.Now()
		d := &Daemon{cfg: Config{Now: time.Now, Log: discard(), VCPURatio: 1, MemoryRatio: 1}, db: db, started: began}
		d.host.describe = func(ctx context.Context) (cloud.Host, error) {
			<-ctx.Done()
			return cloud.Host{}, ctx.Err()
		}
		if err := d.register(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > introduction || d.unknown != id {
			t.Errorf("the start took %s, and the host is known: %v", took, d.unknown != id)
		}
	})
}
