package main

import (
	"testing"
	"time"

	"lodge/api/wire"
)

const operationID = "77777777-7777-4777-8777-777777777777"

func operation(kind, state string, change func(*wire.Operation)) wire.Operation {
	o := wire.Operation{
		ID: operationID, TenantID: homeID, Kind: kind, State: state, Resources: []wire.OperationResource{{Kind: "instance", ID: web1ID, Name: "web1"}},
		CreatedBy: wire.OperationCreator{UserID: acmeID, UserName: "ada", Via: "token"}, RequestID: "r1", CreatedAt: ago(time.Minute), UpdatedAt: ago(time.Minute),
	}
	if state != "running" {
		o.EndedAt = ago(time.Second)
	}
	if change != nil {
		change(&o)
	}
	return o
}

func importing(percent int) wire.Operation {
	return operation("image.import", "running", func(o *wire.Operation) {
		o.Resources[0] = wire.OperationResource{Kind: "image", ID: imageID, Name: "debian\x1b]0;mine\a"}
		o.Progress = &wire.OperationProgress{BytesDone: int64(percent) << 20, BytesTotal: 100 << 20, Percent: &percent}
		o.CreatedBy = wire.OperationCreator{Via: "socket"}
	})
}

func TestOperationsAreShownWaitedForAndCancelled(t *testing.T) {
	const path = "GET /v1/operations/" + operationID
	running := operation("instance.create", "running", func(o *wire.Operation) {
		o.Problem = &wire.Problem{Code: "storage_failed", Message: "The disk could not be made.", Since: ago(time.Minute), RetryAt: ago(-time.Minute), Attempts: 2}
	})
	done := operation("instance.create", "succeeded", nil)
	failed := operation("instance.start", "failed", func(o *wire.Operation) {
		o.Error = &wire.OperationError{Code: "disk_missing", Message: "The root disk is gone."}
	})
	superseded := operation("instance.start", "superseded", func(o *wire.Operation) {
		o.Error = &wire.OperationError{Code: "conflict", Message: "The instance was deleted meanwhile."}
	})
	all := wire.List[wire.Operation]{Items: []wire.Operation{done, failed, running, importing(28)}}
	more := all
	more.Next = "n"
	runGolden(t, []golden{
		{"operations", "operations", func(b *bench) { b.on("GET /v1/operations", all) }},
		{"operations-parts", "operations", func(b *bench) { b.on("GET /v1/operations", more, all) }},
		{"operations-none", "operations -o json", func(b *bench) { b.on("GET /v1/operations", wire.List[wire.Operation]{}) }},
		{"operations-narrow", "operations web1 --state failed --kind instance.start --tenant acme", func(b *bench) {
			b.on("GET /v1/operations", wire.List[wire.Operation]{Items: []wire.Operation{failed}})
		}},
		{"operations-gone", "operations " + imageID, func(b *bench) { b.on("GET /v1/operations", wire.List[wire.Operation]{}) }},
		{"operations-empty-state", "operations --state=", nil},
		{"operation-show", "operation show " + operationID, func(b *bench) { b.on(path, running) }},
		{"operation-show-failed", "operation show " + operationID, func(b *bench) { b.on(path, failed) }},
		{"operation-show-json", "operation show " + operationID + " -o json", func(b *bench) { b.on(path, done) }},
		{"operation-show-missing", "operation show " + operationID, nil},
		{"operation-wait", "operation wait " + operationID, func(b *bench) { b.on(path, running, importing(28), done) }},
		{"operation-wait-failed", "operation wait " + operationID, func(b *bench) { b.on(path, running, failed) }},
		{"operation-wait-superseded", "operation wait " + operationID, func(b *bench) { b.on(path, superseded) }},
		{"operation-wait-late", "operation wait " + operationID + " --timeout 1s", func(b *bench) { b.on(path, running) }},
		{"operation-wait-bad", "operation wait " + operationID + " --timeout 0s", nil},
		{"operation-cancel", "operation cancel " + operationID, func(b *bench) {
			b.on("POST /v1/operations/"+operationID+"/cancel", status{202, operation("instance.create", "cancelled", nil)})
		}},
		{"operation-cancel-late", "operation cancel " + operationID, func(b *bench) {
			b.on("POST /v1/operations/"+operationID+"/cancel", problem{Status: 409, Code: "conflict", Detail: "The instance web1 is built already; delete it instead."})
		}},
	})
}
