package reconcile_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"lodge/cloud"
	"lodge/reconcile"
)

func TestPlanStrays(t *testing.T) {
	port := map[string]cloud.PortSpec{"52:54:00:00:00:01": {}}
	for _, tt := range []struct {
		name   string
		wanted bool // there is a row
		ports  map[string]cloud.PortSpec
		before time.Duration // how long ago it was first so; 0: it was not
		now    bool
		stray  bool
	}{
		{"one that a row is about is none of these", true, nil, time.Hour, false, false},
		{"at the first sight it is left alone", false, nil, 0, true, false},
		{"and for a while", false, nil, 9 * time.Minute, true, false},
		{"then it goes", false, nil, 10 * time.Minute, true, true},
		{"never with a port", false, port, time.Hour, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var wishes []cloud.NetworkWish
			if tt.wanted {
				wishes = []cloud.NetworkWish{{Network: cloud.Network{Meta: cloud.Meta{ID: "n"}}}}
			}
			now := time.Now()
			before := map[string]time.Time{"long gone": now.Add(-time.Hour)}
			if tt.before > 0 {
				before["n"] = now.Add(-tt.before)
			}
			since, strays := reconcile.PlanStrays(wishes, map[string]cloud.HostNetwork{"n": {ID: "n", Active: true, Ports: tt.ports}}, before, now, 10*time.Minute)
			first, known := since["n"]
			if known != tt.now || known && now.Sub(first) != tt.before || (len(strays) == 1) != tt.stray || len(since) > 1 {
				t.Errorf("since %v, to remove %v", since, strays)
			}
		})
	}
}

// The network of a tenant that the database does not know any more goes when the
// operator has removed what used it, and not before.
func TestANetworkThatNoRowIsAboutGoesWithItsLastUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, known := calm(t, 6)
		defer w.db.Close()
		defer w.stop()
		ctx := context.Background()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		there := func(id string) bool {
			t.Helper()
			nets, err := w.host.LookNetworks(ctx, []string{id})
			must(err)
			_, ok := nets[id]
			return ok
		}
		stray, guest := uuid.NewString(), uuid.NewString()
		p := cloud.PortSpec{MAC: "52:54:00:aa:bb:cc", Address: netip.MustParseAddr("10.77.9.10"), Name: "late"}
		must(w.host.EnsureNetwork(ctx, cloud.NetworkSpec{ID: stray, NAT: true, DHCP: true, CIDR: netip.MustParsePrefix("10.77.9.0/24"), Gateway: netip.MustParseAddr("10.77.9.1")}))
		must(w.host.EnsurePort(ctx, stray, p))
		must(w.host.DefineGuest(ctx, cloud.GuestSpec{ID: guest, VCPUs: 1, MemoryMiB: 64, NICs: []cloud.GuestNIC{{MAC: p.MAC, NetworkID: stray}}}))
		time.Sleep(15 * time.Minute)
		if !there(stray) {
			t.Fatal("it went with its port")
		}
		must(w.host.RemovePort(ctx, stray, p))
		time.Sleep(15 * time.Minute)
		if !there(stray) {
			t.Fatal("it went while a guest that is off has a NIC there")
		}
		must(w.host.RemoveGuest(ctx, guest))
		time.Sleep(2 * time.Minute)
		if there(stray) {
			t.Error("nothing uses it, and it stayed")
		}
		i, err := w.db.Instance(ctx, w.root, known)
		must(err)
		if !there(i.Ports[0].NetworkID) {
			t.Error("a network that a row is about went")
		}
	})
}
