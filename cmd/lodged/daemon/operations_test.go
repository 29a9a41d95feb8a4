package daemon

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
)

func TestWhatEndedLongAgoIsForgottenAndTheRestIsNot(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	ctx, operator := context.Background(), cloud.Caller{Operator: true, Via: "socket"}
	tenant, err := s.db.Tenant(ctx, operator, cloud.DefaultTenantName)
	if err != nil {
		t.Fatal(err)
	}
	// begun is the operation of an upload that failed at once.
	begun := func(name string, at time.Time) string {
		c := operator
		c.Begin = &cloud.Begin{NewID: uuid.NewString}
		img, err := s.db.CreateImage(ctx, c, at, cloud.NewImage{ID: uuid.NewString(), TenantID: tenant.ID, Name: name, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS})
		if err == nil {
			err = s.db.ForgetImage(ctx, at, img.ID, cloud.Errorf(cloud.CodeImageFormat, "It is none."))
		}
		if err != nil {
			t.Fatal(err)
		}
		return c.Begin.Begun[0]
	}
	now := time.Now()
	kept := begun("new", now.Add(-cloud.OperationKept+time.Hour))
	const old = 1200 // more than two parts
	for n := range old {
		begun(fmt.Sprint("old", n), now.Add(-cloud.OperationKept-time.Hour))
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); s.forgetOperations(running) }()
	defer func() { stop(); <-ended }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		items, _, err := s.db.Operations(ctx, operator, cloud.OperationFilter{}, cloud.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(items) == 1 && items[0].ID == kept {
			return
		}
		if len(items) == 0 || time.Now().After(deadline) {
			t.Fatalf("%d operations are left, %s among them was to stay", len(items), kept)
		}
	}
}
