package e2e

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

// used is what the ledger says of one instance while it ran, read from the file past lodge,
// and checked against what the API answers.
type used struct {
	instance  time.Duration // time
	vcpu      time.Duration // vCPUs x time
	memory    time.Duration // MiB x time
	intervals int           // of the instance meter
	evidence  string        // of the first interval's end
	started   time.Time     // of the first interval
}

func (l *lab) usage(id string) used {
	l.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(l.dir, "lodge.db")+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`
		SELECT meter, amount, started_at, COALESCE(ended_at, 0), evidence
		FROM usage_interval
		WHERE resource_id = ? AND (meter = 'disk' OR state IN ('running', 'paused'))
		ORDER BY seq`, id)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	var u used
	now := time.Now()
	for rows.Next() {
		var meter, evidence string
		var amount, start, end int64
		if err := rows.Scan(&meter, &amount, &start, &end, &evidence); err != nil {
			l.t.Fatal(err)
		}
		if end == 0 {
			end = now.UnixMilli()
		}
		sum := time.Duration(amount*(end-start)) * time.Millisecond
		switch meter {
		case "instance":
			if u.intervals == 0 {
				u.evidence, u.started = evidence, time.UnixMilli(start)
			}
			u.intervals++
			u.instance += sum
		case "vcpu":
			u.vcpu += sum
		case "memory":
			u.memory += sum
		}
	}
	if err := rows.Err(); err != nil {
		l.t.Fatal(err)
	}
	return u
}

func TestTheUsageAPISaysWhatTheLedgerSays(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	id := l.tiny("a")
	time.Sleep(2 * time.Second)
	l.gone(id)
	ledger := l.usage(id)
	a := l.call("GET", "/v1/usage?instance="+id, nil)
	if a.status != 200 {
		t.Fatalf("usage: %d %v", a.status, a.body)
	}
	tenants, _ := a.body["tenants"].([]any)
	if len(tenants) != 1 {
		t.Fatalf("usage: %v", a.body)
	}
	tenant := tenants[0].(map[string]any)
	if tenant["tenant"] != "default" || number(tenant["instance_ms"]) != float64(ledger.instance.Milliseconds()) {
		t.Errorf("the API says %v, the ledger %+v", tenant, ledger)
	}
	inst := tenant["instances"].([]any)[0].(map[string]any)
	if inst["name"] != "a" || number(inst["memory_mib_ms"]) != float64(ledger.memory.Milliseconds()) || inst["open"] != false {
		t.Errorf("the API says %v, the ledger %+v", inst, ledger)
	}
	if hours := number(inst["instance_hours"]); hours <= 0 || hours > 0.1 {
		t.Errorf("instance hours: %v", inst["instance_hours"])
	}
}
