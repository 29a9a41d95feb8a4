package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
	"lodge/store"
	"lodge/store/storetest"
)

// house is the front over the real store, with a sink that takes everything.
type house struct {
	*front
	db   *store.DB
	path string // of the database file
}

func newHouse(t testing.TB, change ...func(*api.Options)) *house {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lodge.db")
	storetest.Blank(t, path)
	return houseAt(t, path, change...)
}

// houseAt is a house whose database may be there already.
func houseAt(t testing.TB, path string, change ...func(*api.Options)) *house {
	t.Helper()
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := newFront(t, func(o *api.Options) {
		s := o.Sink.(*fakeStore)
		s.sink = takeAll
		o.Tenants, o.Flavors, o.Images, o.Uploads, o.Networks, o.Instances, o.Refs = db, db, db, db, db, db, db
		o.Bulk = db
		o.Powers, o.Events, o.Usage, o.Hosts, o.Health = db, db, db, db, db
		o.Accounts, o.Users, o.Members, o.Tokens, o.Audit, o.Quotas = accounts(db), db, db, db, db, db
		o.Operations = db
		o.Facts, o.Prices, o.Discounts, o.Invoices, o.Billing = db, db, db, db, db
		o.Budgets, o.Webhooks, o.Schedules = db, db, db
		o.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
		for _, c := range change {
			c(o)
		}
	})
	h := &house{f, db, path}
	ctx := context.Background()
	if err := db.RegisterHost(ctx, f.store.now, cloud.Host{
		Meta: cloud.Meta{ID: hostID}, Name: "rack1", VCPUs: 512, MemoryMiB: 4 << 20, VCPURatio: 64, MemoryRatio: 16, Accel: "kvm", Version: "1", StartedAt: f.store.now,
	}); err != nil {
		t.Fatal(err)
	}
	ids := []string{uuid.NewString(), uuid.NewString(), uuid.NewString()}
	if _, err := db.EnsureInstallation(ctx, f.store.now, cloud.NewTenant{ID: ids[0], NetworkID: ids[1], SubnetID: ids[2]}); err != nil {
		t.Fatal(err)
	}
	return h
}

// sees records an instance as running, as reconcile would.
func (h *house) sees(id string) {
	h.t.Helper()
	i, err := h.db.Instance(context.Background(), operator, id)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.RecordInstance(context.Background(), cloud.InstanceRecord{
		ID: i.ID, Generation: i.Generation, State: cloud.StateRunning, ObservedGeneration: i.Generation, ObservedBoots: i.Boots,
		RunningVCPUs: i.VCPUs, RunningMemoryMiB: i.MemoryMiB, RootSeen: true,
		Readings: cloud.Readings(cloud.StateRunning, cloud.Size{VCPUs: i.VCPUs, MemoryMiB: i.MemoryMiB, DiskGiB: i.DiskGiB}, true), At: h.store.now, Evidence: cloud.EvidenceSeen,
	}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) create(body string) wire.Instance {
	h.t.Helper()
	return decoded[wire.Instance](h.do("POST", "/v1/instances", body).want(http.StatusAccepted))
}

func TestTheRoadOverTheRealStore(t *testing.T) {
	h := newHouse(t)
	h.do("POST", "/v1/instances", `{"name":"web1"}`).wantFailure(409, cloud.CodeNoImage)
	h.upload("name=debian-12&user=debian&firmware=uefi&default=true", "VMDK").wantFailure(422, cloud.CodeImageFormat)
	if l := decoded[wire.List[wire.Image]](h.do("GET", "/v1/images", "").want(200)); len(l.Items) != 0 {
		t.Errorf("a failed upload left %+v", l)
	}
	img := decoded[wire.Image](h.upload("name=debian-12&user=debian&firmware=uefi&default=true", "RAW").want(201))
	if img.State != "active" || !img.Default {
		t.Errorf("got %+v", img)
	}
	in := h.create(`{"name":"web1","size":"2 vCPU, 4GB","labels":{"role":"web"},"ssh_keys":["` + goodKey + `"]}`)
	if in.State != "requested" || in.VCPUs != 2 || in.MemoryMiB != 4096 || len(in.Addresses) != 1 || in.LoginUser != "debian" || in.Tenant != "default" {
		t.Errorf("got %+v", in)
	}
	h.do("POST", "/v1/instances", `{"name":"web1"}`).wantFailure(409, cloud.CodeNameTaken)
	h.do("POST", "/v1/instances", `{"name":"web2","image":"nosuch"}`).wantFailure(400, cloud.CodeInvalid)
	h.do("POST", "/v1/instances", `{"name":"web2","flavor":"nosuch"}`).wantFailure(400, cloud.CodeInvalid)
	h.do("GET", "/v1/instances?cursor=x", "").wantFailure(400, cloud.CodeInvalid)
	path := "/v1/instances/" + in.ID
	h.sees(in.ID)
	if got := decoded[wire.Instance](h.do("GET", path, "").want(200)); got.State != "running" || !got.Settled || got.Running == nil {
		t.Errorf("got %+v", got)
	}
	if got := decoded[wire.Instance](h.do("PATCH", path, `{"memory_mib":8192,"labels":{"role":null,"a":"b"}}`).want(200)); !got.Pending || got.Labels["a"] != "b" || len(got.Labels) != 1 {
		t.Errorf("got %+v", got)
	}
	h.do("POST", path+"/reboot", "").want(202)
	h.do("POST", path+"/stop", `{"force":true}`).want(202)
	h.do("POST", path+"/start", "").want(202)
	h.do("GET", path+"/console-log", "").want(200)
	h.do("DELETE", "/v1/images/"+img.ID, "").wantFailure(409, cloud.CodeInUse)

	h.store.now = h.store.now.Add(90 * time.Minute)
	u := decoded[wire.Usage](h.do("GET", "/v1/usage", "").want(200))
	if len(u.Tenants) != 1 || u.Tenants[0].InstanceHours != "1.500000" || u.Tenants[0].VCPUHours != "3.000000" || u.Tenants[0].MemoryGiBHours != "6.000000" {
		t.Errorf("got %+v", u)
	}
	if l := decoded[wire.List[wire.Event]](h.do("GET", "/v1/events?instance="+in.ID, "").want(200)); len(l.Items) < 2 {
		t.Errorf("got %+v", l)
	}
	for _, path := range []string{"/v1/hosts", "/v1/flavors", "/v1/networks", "/v1/tenants", "/v1/images", "/readyz"} {
		h.do("GET", path, "").want(200)
	}
	n := decoded[wire.List[wire.Network]](h.do("GET", "/v1/networks?tenant=default", "")).Items[0]
	h.do("GET", "/v1/networks/"+n.ID, "").want(200)

	tn := decoded[wire.Tenant](h.do("POST", "/v1/tenants", `{"name":"acme"}`).want(201))
	h.do("GET", "/v1/tenants/"+tn.ID, "").want(200)
	h.do("POST", "/v1/tenants", `{"name":"acme"}`).wantFailure(409, cloud.CodeNameTaken)
	h.do("DELETE", "/v1/tenants/"+tn.ID, "").want(204)
	h.do("POST", "/v1/flavors", `{"id":"tiny","vcpus":1,"memory_mib":64,"disk_gib":1}`).want(201)
	h.do("POST", "/v1/flavors", `{"id":"tiny","vcpus":1,"memory_mib":64,"disk_gib":1}`).wantFailure(409, cloud.CodeNameTaken)
	h.do("DELETE", "/v1/flavors/tiny", "").want(204)
	h.do("DELETE", "/v1/flavors/tiny", "").wantFailure(404, cloud.CodeNotFound)

	if got := decoded[wire.Instance](h.do("DELETE", path, "").want(202)); got.Task != "deleting" && got.DeletedAt.IsZero() {
		t.Errorf("got %+v", got)
	}
	h.do("POST", path+"/start", "").wantFailure(409, cloud.CodeConflict)
}

func TestPartsOfARealList(t *testing.T) {
	h := newHouse(t)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	var want, got []string
	for i := range 11 {
		want = append(want, h.create(fmt.Sprintf(`{"name":"vm%d","size":"c1-m1"}`, i)).ID)
	}
	for cursor := ""; ; {
		l := decoded[wire.List[wire.Instance]](h.do("GET", "/v1/instances?limit=4"+cursor, "").want(200))
		for _, i := range l.Items {
			got = append(got, i.ID)
		}
		if cursor = "&cursor=" + l.Next; l.Next == "" {
			break
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("want %v, got %v", want, got)
	}
}

// Readers that come while an instance changes never see an older revision than
// one they have seen, whichever way they look.
func TestRevisionsOnlyGrowForEveryReader(t *testing.T) {
	h := newHouse(t)
	h.upload("name=debian-12&default=true", "RAW").want(201)
	id := h.create(`{"name":"vm","size":"c1-m1"}`).ID
	done := make(chan struct{})
	var readers sync.WaitGroup
	for k := range 4 {
		readers.Go(func() {
			path, last := "/v1/instances/"+id, int64(0)
			if k%2 == 1 {
				path = "/v1/instances?limit=5"
			}
			for {
				select {
				case <-done:
					return
				default:
				}
				rev, name, ok := revisionOf(h.get(path))
				if !ok || rev < last || (rev > 1 && name != "vm"+strconv.FormatInt(rev, 10)) {
					t.Errorf("%s: revision %d (%s) after %d", path, rev, name, last)
					return
				}
				last = rev
			}
		})
	}
	for rev := 2; rev < 60; rev++ {
		name := fmt.Sprint("vm", rev)
		if _, err := h.db.UpdateInstance(context.Background(), operator, h.store.now, id, cloud.InstanceChange{Name: &name}); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
}

func revisionOf(b []byte) (int64, string, bool) {
	_, name, _ := bytes.Cut(b, []byte(`"name":"`))
	name, _, _ = bytes.Cut(name, []byte(`"`))
	_, rest, ok := bytes.Cut(b, []byte(`"revision":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	rev, err := strconv.ParseInt(string(digits), 10, 64)
	return rev, string(name), ok && err == nil
}
