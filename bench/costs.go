package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
)

// costs is what a year's report of costs takes, as a client sees it: GET /v1/cost
// of a tenant with 100 instances of 8 meters each, by instance, at prices that have
// a minimum and a monthly cap. Each slot was stopped and started so many times.
func (b *bench) costs() error {
	for _, runs := range []int{4, 12} {
		if err := b.costOfYear(runs); err != nil {
			return err
		}
	}
	return nil
}

// slotsOfYear are the slots of each instance, as columns of the ledger.
var slotsOfYear = []string{
	"'instance', 'instance', 1", "'cpu', 'vcpu', 2", "'memory', 'memory', 4096", "'disk:root', 'disk', 20",
	"'disk:data', 'volume', 100", "'snapshot:0', 'snapshot', 20", "'image', 'image', 3", "'ip:0', 'floating_ip', 1",
}

func (b *bench) costOfYear(runs int) error {
	const reports = 15
	dir, err := b.scratch(false)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	books, err := openBooks(dir, 1)
	if err != nil {
		return err
	}
	defer books.Close()
	end := benchMorning.AddDate(1, 0, 0)
	if err := books.yearOfRuns(end, runs); err != nil {
		return err
	}
	front := books.front(func() time.Time { return end.AddDate(0, 1, 0) })
	path := fmt.Sprintf("/v1/cost?tenant=%s&from=%s&to=%s", books.tenants[0], benchMorning.Format(time.RFC3339), end.Format(time.RFC3339))
	var took, cpu []time.Duration
	for range reports {
		used, from := usedCPU(), time.Now()
		w := httptest.NewRecorder()
		front.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		took, cpu = append(took, time.Since(from)), append(cpu, usedCPU()-used)
		var report struct {
			Note  string
			Lines []struct{ Cost string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || len(report.Lines) < 100 || report.Note != "" {
			return fmt.Errorf("the report: %d, %d lines, %q, %v", w.Code, len(report.Lines), report.Note, err)
		}
	}
	line(fmt.Sprintf("a year's cost of 100 instances, %d runs of each slot", runs), spread(took), "< 50 ms", median(took) < 50*time.Millisecond)
	fmt.Printf("%-58s %18s\n", "  CPU time of the process", spread(cpu))
	return nil
}

func (b *books) yearOfRuns(end time.Time, runs int) error {
	for _, m := range cloud.BilledMeters()[:8] {
		_, err := b.CreatePrice(context.Background(), benchOperator, benchMorning, cloud.Price{
			ID: uuid.NewString(), Meter: m, UnitPrice: "0.0123", Currency: "EUR", MinimumSeconds: 60, CapHours: 672,
		}, false)
		if err != nil {
			return err
		}
	}
	for t, tenant := range b.tenants {
		if err := b.runsOf(tenant, 100*t, end, runs); err != nil {
			return err
		}
	}
	return nil
}

// runsOf plants the ledger of the 100 instances of a tenant, from the n-th on.
func (b *books) runsOf(tenant string, first int, end time.Time, runs int) error {
	const instances = `WITH RECURSIVE i(n) AS (SELECT %[1]d UNION ALL SELECT n + 1 FROM i WHERE n < %[1]d + 99), r(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM r WHERE k < %[2]d)`
	const id = `printf('%%08x-0000-4000-8000-%%012x', n, n)`
	facts := fmt.Sprintf(instances+`
		INSERT INTO usage_fact (tenant_id, kind, resource_id, name, flavor, labels, since)
		SELECT '%[3]s', 'instance', `+id+`, 'vm' || n, '', '{"env":"prod"}', %[4]d FROM i`, first, 0, tenant, benchMorning.UnixMilli())
	if err := b.exec(facts); err != nil {
		return err
	}
	length := end.Sub(benchMorning) / time.Duration(runs)
	for _, slot := range slotsOfYear {
		rows := fmt.Sprintf(instances+`
			INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at, ended_at, evidence)
			SELECT '%[3]s', `+id+`, 'vm' || n, %[4]s, 'running', %[5]d + k * %[6]d + n %% 100 * 1237 + k * 7919, %[5]d + k * %[6]d + n %% 100 * 1237 + k * 7919 + %[6]d - 300000, 'seen'
			FROM i CROSS JOIN r`, first, runs-1, tenant, slot, benchMorning.UnixMilli(), length.Milliseconds())
		if err := b.exec(rows); err != nil {
			return err
		}
	}
	return nil
}
