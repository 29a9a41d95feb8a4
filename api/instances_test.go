package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lodge/api"
	"lodge/api/wire"
	"lodge/cloud"
)

func TestNameAndSizeAreEnough(t *testing.T) {
	f := newFront(t)
	a := f.do("POST", "/v1/instances", `{"name":"web1","size":"2 vCPU, 4GB"}`).want(http.StatusAccepted)
	in := decoded[wire.Instance](a)
	if a.Header.Get("Location") != "/v1/instances/"+in.ID {
		t.Errorf("Location %q", a.Header.Get("Location"))
	}
	if in.VCPUs != 2 || in.MemoryMiB != 4096 || in.DiskGiB != 20 || in.Tenant != "default" || in.Image != "debian-12" || in.State != "requested" || in.Power != "running" {
		t.Errorf("got %s", a.body)
	}
	for _, part := range []string{`"created_at":"2026-11-05T12:00:00.123Z"`, `"labels":{}`, `"ssh_keys":[]`, `"addresses":["10.0.0.10"]`, `"task":"creating"`} {
		if !strings.Contains(string(a.body), part) {
			t.Errorf("no %s in %s", part, a.body)
		}
	}
}

func TestSizesOfACreate(t *testing.T) {
	for body, want := range map[string]wire.Instance{
		`"size":"c2-m4"`:                            {VCPUs: 2, MemoryMiB: 4096, DiskGiB: 20},
		`"size":"2 vcpus 4 GiB ram 40GB disk"`:      {VCPUs: 2, MemoryMiB: 4096, DiskGiB: 40},
		`"size":"2c 4g","disk_gib":30`:              {VCPUs: 2, MemoryMiB: 4096, DiskGiB: 30},
		`"flavor":"c1-m2"`:                          {VCPUs: 1, MemoryMiB: 2048, DiskGiB: 20, Flavor: "c1-m2"},
		`"flavor":"c1-m2","vcpus":3,"disk_gib":100`: {VCPUs: 3, MemoryMiB: 2048, DiskGiB: 100, Flavor: "c1-m2"},
		`"vcpus":256,"memory_mib":64`:               {VCPUs: 256, MemoryMiB: 64, DiskGiB: 20},
		`"power":"stopped"`:                         {VCPUs: 1, MemoryMiB: 2048, DiskGiB: 20},
	} {
		in := decoded[wire.Instance](newFront(t).do("POST", "/v1/instances", `{"name":"a",`+body+`}`).want(202))
		got := wire.Instance{VCPUs: in.VCPUs, MemoryMiB: in.MemoryMiB, DiskGiB: in.DiskGiB, Flavor: in.Flavor}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: want (-), got (+)\n%s", body, diff)
		}
	}
}

func TestTheTenantOfANewInstance(t *testing.T) {
	f := newFront(t)
	tenant := func(path, body string) string {
		return decoded[wire.Instance](f.do("POST", path, body).want(202)).Tenant
	}
	for i, got := range []string{
		tenant("/v1/instances?tenant=other", `{"name":"a"}`), tenant("/v1/instances", `{"name":"b","tenant":"other"}`),
		tenant("/v1/instances?tenant="+otherTenant, `{"name":"c"}`), tenant("/v1/instances?tenant=other", `{"name":"d","tenant":"other"}`),
	} {
		if got != "other" {
			t.Errorf("%d: tenant %q", i, got)
		}
	}
	f.caller = cloud.Caller{TenantID: otherTenant, Role: cloud.RoleMember}
	if got := tenant("/v1/instances", `{"name":"e"}`); got != "other" {
		t.Errorf("a caller of a tenant made it for %q", got)
	}
}

func TestKeysUserDataAndLabelsAreKept(t *testing.T) {
	f := newFront(t)
	body, err := json.Marshal(wire.CreateInstance{
		Name: "a", SSHKeys: []string{"  " + goodKey + "\t"}, UserData: "## template: jinja\n#cloud-config\n", Labels: map[string]string{"example.org/role": "web", "x": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	in := decoded[wire.Instance](f.do("POST", "/v1/instances", string(body)).want(202))
	if !slices.Equal(in.SSHKeys, []string{goodKey}) || in.UserDataBytes != 33 || in.Labels["example.org/role"] != "web" {
		t.Errorf("got %+v", in)
	}
	if got := f.store.instances[in.ID].UserData; !strings.HasPrefix(got, "## template") {
		t.Errorf("user data %q", got)
	}
}

func TestAnInstanceShowsEverythingThatIsSeen(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	f.store.change(id, func(i *cloud.Instance) {
		i.MemoryMiB, i.Generation = 8192, 2
		i.Problem = &cloud.Problem{Code: cloud.CodeHypervisor, Message: "libvirt does not answer.", Since: f.store.now, RetryAt: f.store.now.Add(time.Second), Attempts: 3}
	})
	in := decoded[wire.Instance](f.do("GET", "/v1/instances/"+id, "").want(200))
	if !in.Pending || in.Running == nil || in.Running.MemoryMiB != 4096 || in.Settled || in.Problem == nil || in.Problem.Code != "hypervisor_unavailable" {
		t.Errorf("got %+v", in)
	}
	f.store.change(id, func(i *cloud.Instance) { i.DeletedAt, i.Task = f.store.now, cloud.TaskDeleting })
	if in := decoded[wire.Instance](f.do("GET", "/v1/instances/"+id, "").want(200)); in.DeletedAt.IsZero() {
		t.Errorf("the second look shows the first: %+v", in)
	}
}

func TestPatchMergesAndLeavesTheRest(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	in := decoded[wire.Instance](f.do("PATCH", "/v1/instances/"+id, `{"memory_mib":8192,"labels":{"role":null,"tier":"gold"}}`).want(200))
	if in.MemoryMiB != 8192 || in.VCPUs != 2 || !in.Pending || !cmp.Equal(in.Labels, map[string]string{"tier": "gold"}) {
		t.Errorf("got %+v", in)
	}
	if in := decoded[wire.Instance](f.do("PATCH", "/v1/instances/"+id, `{"name":"db1"}`).want(200)); in.Name != "db1" {
		t.Errorf("got %+v", in)
	}
	for _, body := range []string{`{"vcpus":0}`, `{"memory_mib":-1}`, `{"name":""}`, `{"labels":{"a b":"c"}}`} {
		f.do("PATCH", "/v1/instances/"+id, body).wantFailure(400, cloud.CodeInvalid)
	}
	f.do("PATCH", "/v1/instances/"+id, `{"disk_gib":5}`).wantFailure(400, cloud.CodeUnknownField)
}

func TestPowerTakesABodyOrNone(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	path := "/v1/instances/" + id
	f.do("POST", path+"/stop", "").want(202)
	if f.store.instances[id].PowerForce {
		t.Error("a stop without a body is forced")
	}
	f.do("POST", path+"/stop", `{"force":true}`).want(202)
	if !f.store.instances[id].PowerForce {
		t.Error("force was not heard")
	}
	f.do("POST", path+"/start", "{}").want(202)
	f.do("POST", path+"/reboot", "").want(202)
	f.do("POST", path+"/stop", `{"forse":true}`).wantFailure(400, cloud.CodeUnknownField)
	f.store.change(id, func(i *cloud.Instance) { i.State = cloud.StateStopped })
	f.do("POST", path+"/reboot", "").wantFailure(409, cloud.CodeConflict)
	in := decoded[wire.Instance](f.do("DELETE", path, "").want(202))
	if in.Task != "deleting" || f.store.instances[id].DeletedAt.IsZero() {
		t.Errorf("got %+v", in)
	}
}

func TestConsoleLogIsPlainText(t *testing.T) {
	f := newFront(t)
	id := f.store.fill(1)[0]
	a := f.do("GET", "/v1/instances/"+id+"/console-log", "").want(200)
	if string(a.body) != "login: " || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v %q", a.Header, a.body)
	}
	if a := f.do("GET", "/v1/instances/"+id+"/console-log?tail_bytes=2", ""); string(a.body) != ": " {
		t.Errorf("tail %q", a.body)
	}
}

func TestListsAreNarrowedAndComeInParts(t *testing.T) {
	for _, refs := range []bool{false, true} {
		f := newFront(t, func(o *api.Options) {
			if refs {
				o.Refs = &fakeRefs{fakeStore: o.Instances.(*fakeStore)}
			}
		})
		ids := f.store.fill(7)
		var got []string
		cursor := ""
		for {
			l := decoded[wire.List[wire.Instance]](f.do("GET", "/v1/instances?limit=3"+cursor, "").want(200))
			for _, in := range l.Items {
				got = append(got, in.ID)
			}
			if cursor = "&cursor=" + l.Next; l.Next == "" {
				break
			}
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Errorf("refs %v: %s", refs, diff)
		}
		for path, want := range map[string]int{
			"?name=vm3": 1, "?name=nobody": 0, "?state=running": 7, "?state=stopped": 0, "?tenant=default": 7, "?tenant=other": 0, "?limit=500": 7, "": 7,
		} {
			l := decoded[wire.List[wire.Instance]](f.do("GET", "/v1/instances"+path, "").want(200))
			if len(l.Items) != want || l.Items == nil {
				t.Errorf("%s: %d items, want %d", path, len(l.Items), want)
			}
		}
		f.do("GET", "/v1/instances?tenant=nobody", "").wantFailure(404, cloud.CodeNotFound)
	}
}

func TestRenderedInstancesAreNeverStale(t *testing.T) {
	refs := &fakeRefs{}
	f := newFront(t, func(o *api.Options) { refs.fakeStore = o.Instances.(*fakeStore); o.Refs = refs })
	ids := f.store.fill(5)
	list := func() (out []string) {
		for _, in := range decoded[wire.List[wire.Instance]](f.do("GET", "/v1/instances", "").want(200)).Items {
			out = append(out, in.Name)
		}
		return out
	}
	list()
	list()
	if refs.whole != 5 {
		t.Errorf("%d instances were read whole, want each once", refs.whole)
	}
	for n := range 20 {
		id := ids[n%5]
		name := "new" + strconv.Itoa(n)
		f.store.change(id, func(i *cloud.Instance) { i.Name = name })
		if n%2 == 0 {
			if got := decoded[wire.Instance](f.do("GET", "/v1/instances/"+id, "").want(200)); got.Name != name {
				t.Fatalf("one shows %q, want %q", got.Name, name)
			}
		}
		if got := list()[n%5]; got != name {
			t.Fatalf("list shows %q, want %q", got, name)
		}
	}
	f.store.mu.Lock()
	delete(f.store.instances, ids[2])
	f.store.mu.Unlock()
	if got := list(); len(got) != 4 {
		t.Errorf("list after a removal: %v", got)
	}
	f.do("GET", "/v1/instances/"+ids[2], "").wantFailure(404, cloud.CodeNotFound)
}

func TestFragmentsStayWithinTheirBound(t *testing.T) {
	f := newFront(t)
	ids := f.store.fill(40)
	srv := api.NewBounded(api.Options{Instances: f.store, Now: time.Now, NewID: f.store.newID, Caller: func(*http.Request) (cloud.Caller, error) { return operator, nil }}, 10<<10)
	for range 3 {
		for _, id := range ids {
			rec := httptest.NewRecorder()
			srv.ServeHTTP(rec, httptest.NewRequest("GET", "/v1/instances/"+id, nil))
			var in wire.Instance
			if err := json.Unmarshal(rec.Body.Bytes(), &in); err != nil || in.ID != id {
				t.Fatalf("%v: %s", err, rec.Body)
			}
		}
		if held, counted := srv.Held(); held > 10<<10 || held != counted {
			t.Errorf("%d bytes are held, %d are counted", held, counted)
		}
	}
}
