package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lodge/api/wire"
)

const operationID = "77777777-7777-4777-8777-777777777777"

func TestACallTellsWhichOperationItBegan(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stop") {
			w.Header().Set("Operation-Location", "/v1/operations/"+operationID)
		}
		answer(w, 202, wire.Instance{})
	})
	op := "something old"
	ctx := Begun(t.Context(), &op)
	if _, err := c.StopInstance(ctx, "x", false); err != nil || op != operationID {
		t.Fatalf("got %q, %v", op, err)
	}
	if _, err := c.StartInstance(ctx, "x"); err != nil || op != "" {
		t.Fatalf("got %q, %v", op, err)
	}
}

func TestWaitOperationGoesOnUntilItHasEnded(t *testing.T) {
	var asked atomic.Int64
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if got, want := r.URL.RequestURI(), "/v1/operations/"+operationID; n == 1 && got != want || n == 2 && got != want+"?wait=5000ms" {
			t.Errorf("look %d asks for %s", n, got)
		}
		switch n {
		case 1, 2:
			answer(w, 200, wire.Operation{ID: operationID, State: "running"})
		case 3:
			answer(w, 503, wire.Failure{Status: 503, Code: "unavailable", Detail: "lodged is stopping."})
		case 4:
			answer(w, 429, wire.Failure{Status: 429, Code: "rate_limited", Detail: "Too many wait."})
		default:
			answer(w, 200, wire.Operation{ID: operationID, State: "failed", Error: &wire.OperationError{Code: "disk_missing", Message: "It is gone."}})
		}
	})
	looks := 0
	o, err := c.WaitOperation(t.Context(), operationID, func(wire.Operation) { looks++ })
	if err != nil || o.State != "failed" || o.Error.Code != "disk_missing" || looks != 3 {
		t.Fatalf("got %+v, %v after %d looks", o, err, looks)
	}
}

func TestWaitOperationEndsWithItsContextAndWhenThereIsNone(t *testing.T) {
	running := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			<-r.Context().Done()
			return
		}
		answer(w, 200, wire.Operation{ID: operationID, State: "running"})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if o, err := running.WaitOperation(ctx, operationID, nil); !errors.Is(err, context.DeadlineExceeded) || o.State != "running" {
		t.Errorf("got %+v, %v", o, err)
	}
	nothing := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 404, wire.Failure{Status: 404, Code: "not_found", Detail: "There is none."})
	})
	if _, err := nothing.WaitOperation(t.Context(), operationID, nil); !IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestAllOperationsReadsEveryPart(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("kind") != "image.import" || q.Get("resource") != "x" || q.Get("state") != "failed" || q.Get("tenant") != "acme" || q.Get("limit") != "500" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		if q.Get("cursor") == "" {
			answer(w, 200, wire.List[wire.Operation]{Items: []wire.Operation{{ID: "1"}}, Next: "n"})
			return
		}
		answer(w, 200, wire.List[wire.Operation]{Items: []wire.Operation{{ID: "2"}}})
	})
	items, err := c.AllOperations(t.Context(), OperationQuery{Tenant: "acme", State: "failed", Kind: "image.import", Resource: "x"})
	if err != nil || len(items) != 2 {
		t.Fatalf("got %+v, %v", items, err)
	}
}
