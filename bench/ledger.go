package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/meter"
	"lodge/store"
)

var benchMorning = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const ledgerHost = "5b8a4a51-6f0c-4d0e-9c0e-0d6c2a6f0001"

// books is a store without a daemon.
type books struct {
	*store.DB
	path    string
	tenants []string
	n       int
}

var benchOperator = cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "socket"}

func openBooks(dir string, tenants int) (_ *books, err error) {
	b := &books{path: filepath.Join(dir, "lodge.db")}
	if b.DB, err = store.OpenWith(b.path, store.Options{NetworkPool: netip.MustParsePrefix("10.0.0.0/8"), SubnetBits: 20}); err != nil {
		return nil, err
	}
	ctx := context.Background()
	err = b.RegisterHost(ctx, benchMorning, cloud.Host{Meta: cloud.Meta{ID: ledgerHost}, Name: "rack1", VCPUs: 100_000, MemoryMiB: 1 << 30, StartedAt: benchMorning, VCPURatio: 64})
	if err != nil {
		return nil, err
	}
	for n := range tenants {
		id := uuid.NewString()
		make := cloud.NewTenant{ID: id, NetworkID: uuid.NewString(), SubnetID: uuid.NewString(), Name: fmt.Sprintf("t%d", n)}
		if n == 0 {
			var first cloud.Tenant
			if first, err = b.EnsureInstallation(ctx, benchMorning, make); err != nil {
				return nil, err
			}
			id = first.ID
		} else if _, err := b.CreateTenant(ctx, benchOperator, benchMorning, make); err != nil {
			return nil, err
		}
		b.tenants = append(b.tenants, id)
	}
	limits := map[cloud.Resource]*int64{}
	for _, r := range cloud.Resources() {
		most := int64(100_000_000)
		limits[r] = &most
	}
	if err := b.SetQuotas(ctx, benchOperator, benchMorning, "", limits); err != nil {
		return nil, err
	}
	img, err := b.CreateImage(ctx, benchOperator, benchMorning, cloud.NewImage{
		ID: uuid.NewString(), TenantID: b.tenants[0], Name: "debian", Public: true, Default: true, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
	})
	if err != nil {
		return nil, err
	}
	return b, b.RecordImage(ctx, benchMorning, cloud.ImageRecord{ID: img.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{
		Format: cloud.FormatQcow2, SHA256: "ab", SizeBytes: 300 << 20, VirtualSize: 1 << 30,
	}})
}

func (b *books) exec(stmts ...string) error {
	c, err := openDatabase(b.path)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, s := range stmts {
		if _, err := c.Exec(s, nil); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// closeHours closes hours of 25,000 instances that run, which are 100,000 open
// intervals. The rows are put in by SQL; closing reads nothing else.
func (b *bench) closeHours() error {
	dir := b.path("close")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	books, err := openBooks(dir, 100)
	if err != nil {
		return err
	}
	defer books.Close()
	start := benchMorning.UnixMilli()
	for i, slot := range []string{"'instance', 'instance', 1", "'cpu', 'vcpu', 2", "'memory', 'memory', 4096", "'disk:root', 'disk', 20"} {
		err := books.exec(fmt.Sprintf(`
			WITH RECURSIVE k(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < 24999)
			INSERT INTO usage_interval (tenant_id, resource_id, resource, slot, meter, amount, state, started_at)
			SELECT t.id, printf('%%08x-0000-4000-8000-%%012x', n, n), 'vm' || n, %s, 'running', %d + n %% 3600000
			FROM k JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM tenant) t ON t.place = n %% 100`, slot, start+int64(i)))
		if err != nil {
			return err
		}
	}
	ctx := context.Background()
	var took, cpu []time.Duration
	for h := range 5 {
		hour := benchMorning.Add(time.Duration(h) * time.Hour)
		used, from := usedCPU(), time.Now()
		if err := books.CloseHour(ctx, hour.Add(2*time.Hour), hour, meter.Hour); err != nil {
			return err
		}
		took, cpu = append(took, time.Since(from)), append(cpu, usedCPU()-used)
	}
	line("closing one hour with 100,000 open intervals (median of 5)", spread(took), "< 2 s", median(took) < 2*time.Second)
	fmt.Printf("%-58s %18s\n", "  CPU time of the process", spread(cpu))
	return nil
}
