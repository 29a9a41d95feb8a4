package store_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lodge/cloud"
	"lodge/store"
)

func selector(t testing.TB, text string) cloud.Selector {
	t.Helper()
	s, err := cloud.ParseSelector(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// labelled makes an instance with labels.
func (w *world) labelled(tenantID, name string, labels map[string]string) cloud.Instance {
	w.t.Helper()
	n := w.wanted(name)
	n.TenantID, n.Labels = tenantID, labels
	i, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	return i
}

// walk reads a whole list of instances part by part.
func (w *world) walk(c cloud.Caller, f cloud.Filter, p cloud.Page) (ids []string) {
	w.t.Helper()
	for {
		refs, next, err := w.InstanceRefs(ctx, c, f, p)
		w.must(err)
		for _, r := range refs {
			ids = append(ids, r.ID)
		}
		if next == "" {
			return ids
		}
		p.Cursor = next
	}
}

// Whatever the filter, the order and the route, a list shows what a plain look at
// every instance would keep, in that order.
func TestAListIsWhatTheFilterSays(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.activeImage("own", acme.ID, false)
	random := rand.New(rand.NewPCG(1, 2))
	envs, zones := []string{"prod", "test", ""}, []string{"a", "b", "c"}
	var all []cloud.Instance
	for n := range 120 {
		if random.IntN(3) == 0 {
			w.later(time.Second)
		}
		labels := map[string]string{}
		if k := random.IntN(4); k < 3 {
			labels["env"] = envs[k]
		}
		if random.IntN(2) == 0 {
			labels["example.org/zone"] = zones[random.IntN(3)]
		}
		tenantID := w.tenant.ID
		if random.IntN(3) == 0 {
			tenantID = acme.ID
		}
		i := w.labelled(tenantID, fmt.Sprintf("%s%03d", []string{"web", "db"}[random.IntN(2)], n), labels)
		if random.IntN(3) == 0 {
			w.record(w.running(i))
			i = w.instance(i.ID)
		}
		all = append(all, i)
	}
	half := all[60].CreatedAt
	filters := []cloud.Filter{
		{}, {Name: "web003"}, {NamePrefix: "web"}, {NamePrefix: "d"}, {State: "running"}, {After: half}, {Before: half}, {After: noon, Before: half},
		{HostID: hostID}, {HostID: id("other")}, {ImageID: all[0].ImageID}, {FlavorID: "c2-m4"}, {FlavorID: "none"},
	}
	for _, text := range []string{
		"env=prod", "env!=prod", "env in (prod,test)", "env notin (prod,test)", "env", "!env", "env=", "example.org/zone in (a,b),env=prod",
		"example.org/zone=a,env in (prod,),!other", "env,example.org/zone", "other", "!other", "env=prod,env=test",
	} {
		filters = append(filters, cloud.Filter{Labels: selector(t, text)}, cloud.Filter{Labels: selector(t, text), State: "running", NamePrefix: "web", After: noon})
	}
	for _, f := range filters {
		for _, sort := range cloud.Sorts() {
			for _, c := range []cloud.Caller{operator, {TenantID: acme.ID}} {
				var want []string
				keep := slices.Clone(all)
				slices.SortFunc(keep, func(a, b cloud.Instance) int {
					order := cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
					if sort.ByName() {
						order = cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
					}
					if sort.Descending() {
						return -order
					}
					return order
				})
				for _, i := range keep {
					if c.Sees(i.TenantID) && (f.Name == "" || f.Name == i.Name) && strings.HasPrefix(i.Name, f.NamePrefix) &&
						(f.State == "" || f.State == string(i.State)) && (f.HostID == "" || f.HostID == i.HostID) &&
						(f.ImageID == "" || f.ImageID == i.ImageID) && (f.FlavorID == "" || f.FlavorID == i.FlavorID) &&
						(f.After.IsZero() || i.CreatedAt.After(f.After)) && (f.Before.IsZero() || i.CreatedAt.Before(f.Before)) && f.Labels.Fits(i.Labels) {
						want = append(want, i.ID)
					}
				}
				if got := w.walk(c, f, cloud.Page{Limit: 7, Sort: sort}); !slices.Equal(got, want) {
					t.Fatalf("%+v by %s for tenant %q: got %d, want %d\n%v\n%v", f, sort, c.TenantID, len(got), len(want), got, want)
				}
			}
		}
	}
}

func TestAnOrderThatIsNoneIsRefused(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{Sort: "updated_at"})
	w.refused(err, cloud.CodeInvalid)
}

// What is there from the first part to the last is shown once, whatever comes
// and goes beside it.
func TestPagingIsStableWhileOthersComeAndGo(t *testing.T) {
	w := newWorldWith(t, roomy)
	acme := w.newTenant("acme")
	w.activeImage("own", acme.ID, false)
	var stays, goes []string
	for n := range 60 {
		if n%5 == 0 {
			w.later(time.Millisecond)
		}
		i := w.labelled(acme.ID, fmt.Sprintf("n%03d", n), map[string]string{"env": "prod"})
		if n%3 == 0 {
			goes = append(goes, i.ID)
		} else {
			stays = append(stays, i.ID)
		}
	}
	slices.Sort(stays)
	now := w.now
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			// Names and moments before, among and after those that are listed.
			_, err := w.CreateInstance(ctx, operator, now.Add(time.Duration(n%40-20)*time.Millisecond), cloud.NewInstance{
				ID: id("new", n), VolumeID: id("new volume", n), PortID: id("new port", n), TenantID: acme.ID,
				Name: fmt.Sprintf("%cnew%d", "amz"[n%3], n), Labels: map[string]string{"env": "prod"},
			})
			if err == nil && n < len(goes) {
				err = w.end(goes[n], now.Add(time.Second))
			}
			if err != nil {
				t.Errorf("change %d: %v", n, err)
				return
			}
		}
	})
	for round := range 3 {
		for _, sort := range cloud.Sorts() {
			for _, f := range []cloud.Filter{{}, {Labels: selector(t, "env=prod")}, {Labels: selector(t, "env in (prod,test)")}} {
				seen := map[string]int{}
				for _, one := range w.walk(cloud.Caller{TenantID: acme.ID}, f, cloud.Page{Limit: 5, Sort: sort}) {
					seen[one]++
				}
				for one, times := range seen {
					if times != 1 {
						t.Fatalf("round %d by %s: %s is shown %d times", round, sort, one, times)
					}
				}
				for _, one := range stays {
					if seen[one] != 1 {
						t.Fatalf("round %d by %s: %s is lost", round, sort, one)
					}
				}
			}
		}
	}
	close(stop)
	others.Wait()
}

// end deletes an instance and records that nothing of it is left.
func (w *world) end(one string, at time.Time) error {
	i, err := w.DeleteInstance(ctx, operator, at, one)
	if err != nil {
		return err
	}
	return w.RecordInstance(ctx, cloud.InstanceRecord{
		ID: one, Generation: i.Generation, State: cloud.StateGone, ObservedGeneration: i.Generation, At: at, EndAt: at, Evidence: cloud.EvidenceSeen,
	})
}

func TestTheRarestTermIsWalked(t *testing.T) {
	for _, tc := range []struct {
		selector string
		sort     cloud.Sort
		found    []int
		want     int
	}{
		{"env=prod", cloud.SortCreated, []int{0}, 0},
		{"env!=prod", cloud.SortCreated, []int{0}, -1},
		{"!env", cloud.SortCreated, []int{0}, -1},
		{"env=prod", cloud.SortCreated, []int{1000}, 0},  // in the order of the list
		{"env=prod", cloud.SortName, []int{1000}, -1},    // too many to sort
		{"env=prod", cloud.SortName, []int{999}, 0},      //
		{"env in (a,b)", cloud.SortCreated, []int{5}, 0}, //
		{"env in (a,b)", "-created_at", []int{1000}, -1}, //
		{"env=prod,app=x", cloud.SortCreated, []int{1000, 3}, 1},
		{"app", cloud.SortCreated, []int{3}, 0},
		{"app", cloud.SortCreated, []int{1000}, -1},
		{"!x,app,env=prod", cloud.SortCreated, []int{0, 1000, 1000}, 2},
	} {
		if got := store.Term(selector(t, tc.selector), tc.sort, tc.found...); got != tc.want {
			t.Errorf("%s by %s, found %v: term %d, want %d", tc.selector, tc.sort, tc.found, got, tc.want)
		}
	}
}

// The lists that must stay fast at 100,000 instances walk an index in their own
// order: no scan of the table, and no sorting of what may be many.
func TestHotListsWalkAnIndex(t *testing.T) {
	w := newWorld(t)
	at := w.now
	for name, tc := range map[string]struct {
		tenant string
		f      cloud.Filter
		sort   cloud.Sort
		found  []int
		uses   string
		sorts  bool // few are sorted
	}{
		"all":                       {uses: "i USING COVERING INDEX instance_by_age"},
		"all, newest first":         {sort: "-created_at", uses: "i USING COVERING INDEX instance_by_age"},
		"all by name":               {sort: "name", uses: "i USING INDEX instance_by_name"},
		"of a tenant":               {tenant: "t", uses: "i USING COVERING INDEX instance_by_tenant"},
		"of a tenant by name":       {tenant: "t", sort: "name", uses: "i USING INDEX instance_of_tenant_by_name (tenant_id=?)"},
		"of a tenant since":         {tenant: "t", f: cloud.Filter{After: at}, uses: "i USING COVERING INDEX instance_by_tenant (tenant_id=? AND created_at>?"},
		"in a state":                {f: cloud.Filter{State: "error"}, uses: "i USING INDEX instance_by_state (state=?)"},
		"of a tenant in a state":    {tenant: "t", f: cloud.Filter{State: "error"}, uses: "i USING INDEX instance_of_tenant_by_state (tenant_id=? AND state=?)"},
		"with a name":               {f: cloud.Filter{Name: "web1"}, sort: "name", uses: "i USING INDEX instance_by_name (name=?)"},
		"with a name by age":        {f: cloud.Filter{Name: "web1"}, uses: "i USING INDEX instance_by_name (name=?)", sorts: true},
		"with a prefix by name":     {f: cloud.Filter{NamePrefix: "web"}, sort: "name", uses: "i USING INDEX instance_by_name (name>? AND name<?)"},
		"with a label":              {f: cloud.Filter{Labels: selector(t, "env=prod")}, uses: "l USING COVERING INDEX label_by_value (kind=? AND key=? AND value=?)"},
		"with a label, newest":      {f: cloud.Filter{Labels: selector(t, "env=prod")}, sort: "-created_at", uses: "l USING COVERING INDEX label_by_value (kind=? AND key=? AND value=?)"},
		"of a tenant with a label":  {tenant: "t", f: cloud.Filter{Labels: selector(t, "env=prod")}, uses: "l USING COVERING INDEX label_of_tenant (kind=? AND tenant_id=? AND key=? AND value=?)"},
		"without a label":           {f: cloud.Filter{Labels: selector(t, "env!=prod")}, uses: "l USING PRIMARY KEY (kind=? AND object_id=? AND key=?)"},
		"with one of many values":   {f: cloud.Filter{Labels: selector(t, "env in (a,b)")}, found: []int{1000}, uses: "i USING COVERING INDEX instance_by_age"},
		"with one of few values":    {f: cloud.Filter{Labels: selector(t, "env in (a,b)")}, found: []int{9}, uses: "l USING COVERING INDEX label_by_value (kind=? AND key=? AND value=?)", sorts: true},
		"with a rare label by name": {f: cloud.Filter{Labels: selector(t, "env=prod")}, sort: "name", found: []int{9}, uses: "l USING COVERING INDEX label_by_value", sorts: true},
	} {
		t.Run(name, func(t *testing.T) {
			plan := store.ListPlan(t, w.DB, tc.tenant, tc.f, cloud.Page{Sort: tc.sort}, tc.found...)
			if !strings.Contains(plan, tc.uses) {
				t.Errorf("it does not use %s:\n%s", tc.uses, plan)
			}
			if strings.Contains(plan, "TEMP B-TREE") != tc.sorts {
				t.Errorf("sorting, want %v:\n%s", tc.sorts, plan)
			}
			for line := range strings.Lines(plan) {
				if strings.HasPrefix(line, "SCAN") && !strings.Contains(line, "INDEX") {
					t.Errorf("it reads a whole table:\n%s", plan)
				}
			}
		})
	}
	if plan := store.QuotaPlan(t, w.DB, "t"); strings.Contains(plan, "SCAN ") && !strings.Contains(plan, "SCAN CONSTANT ROW") {
		t.Errorf("a quota reads every tenant's rows:\n%s", plan)
	}
}

// The table of labels is what the JSON of the listed objects says.
func TestLabelsAreFoundAsTheyAreWritten(t *testing.T) {
	w := newWorld(t)
	i := w.labelled(w.tenant.ID, "web1", map[string]string{"env": "prod", "example.org/a.b": "x_y", "empty": ""})
	j := w.labelled(w.tenant.ID, "web2", map[string]string{"env": "prod"})
	k := w.create("web3")
	tenant, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{ID: id("acme"), NetworkID: id("acme net"), SubnetID: id("acme subnet"), Name: "acme", Labels: map[string]string{"plan": "gold"}})
	w.must(err)
	text := func(s string) *string { return &s }
	_, err = w.UpdateInstance(ctx, operator, w.now, i.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"env": text("test"), "empty": nil, "new": text("1")}}})
	w.must(err)
	_, err = w.UpdateInstance(ctx, operator, w.now, k.ID, cloud.InstanceChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"late": text("yes")}}})
	w.must(err)
	_, err = w.UpdateImage(ctx, operator, w.now, w.image.ID, cloud.ImageChange{LabelChange: cloud.LabelChange{Labels: map[string]*string{"os": text("linux")}}})
	w.must(err)
	w.must(w.end(j.ID, w.now))
	want := []string{
		"image " + w.image.ID + " os=linux " + w.tenant.ID,
		"instance " + i.ID + " env=test " + w.tenant.ID,
		"instance " + i.ID + " example.org/a.b=x_y " + w.tenant.ID,
		"instance " + i.ID + " new=1 " + w.tenant.ID,
		"instance " + k.ID + " late=yes " + w.tenant.ID,
		"tenant " + tenant.ID + " plan=gold " + tenant.ID,
	}
	slices.Sort(want)
	const all = `SELECT kind || ' ' || object_id || ' ' || key || '=' || value || ' ' || tenant_id FROM label ORDER BY 1`
	if got := store.Query(t, w.DB, all); !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	w.must(w.DeleteTenant(ctx, operator, w.now, tenant.ID))
	if got := store.Query(t, w.DB, all); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "tenant") }) {
		t.Fatalf("a deleted tenant is found by %v", got)
	}
}

func TestOtherListsTakeLabelsNamesAndOrders(t *testing.T) {
	w := newWorld(t)
	for n, env := range []string{"prod", "test", "prod"} {
		w.later(time.Second)
		_, err := w.CreateTenant(ctx, operator, w.now, cloud.NewTenant{
			ID: id("t", n), NetworkID: id("n", n), SubnetID: id("s", n), Name: fmt.Sprintf("acme%d", n), Labels: map[string]string{"env": env},
		})
		w.must(err)
		_, err = w.CreateImage(ctx, operator, w.now, cloud.NewImage{
			ID: id("i", n), TenantID: w.tenant.ID, Name: fmt.Sprintf("os %d: x", n), Labels: map[string]string{"env": env}, Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
		})
		w.must(err)
	}
	f := cloud.Filter{Labels: selector(t, "env=prod")}
	for _, p := range []cloud.Page{{Sort: "name", Limit: 1}, {Sort: "-name", Limit: 1}, {Sort: "created_at", Limit: 1}, {Sort: "-created_at", Limit: 1}} {
		var tenants, images []string
		for {
			items, next, err := w.Tenants(ctx, operator, f, p)
			w.must(err)
			for _, i := range items {
				tenants = append(tenants, i.Name)
			}
			if p.Cursor = next; next == "" {
				break
			}
		}
		for {
			items, next, err := w.Images(ctx, operator, f, p)
			w.must(err)
			for _, i := range items {
				images = append(images, i.Name)
			}
			if p.Cursor = next; next == "" {
				break
			}
		}
		wantTenants, wantImages := []string{"acme0", "acme2"}, []string{"os 0: x", "os 2: x"}
		if p.Sort.Descending() {
			slices.Reverse(wantTenants)
			slices.Reverse(wantImages)
		}
		if !slices.Equal(tenants, wantTenants) || !slices.Equal(images, wantImages) {
			t.Errorf("by %s: %v, %v", p.Sort, tenants, images)
		}
	}
	images, _, err := w.Images(ctx, operator, cloud.Filter{NamePrefix: "os ", Before: noon.Add(3 * time.Second)}, cloud.Page{})
	w.must(err)
	if len(images) != 2 {
		t.Errorf("got %d images", len(images))
	}
	networks, _, err := w.Networks(ctx, operator, cloud.Filter{Labels: selector(t, "!env"), NamePrefix: "def", After: noon}, cloud.Page{Sort: "name"})
	w.must(err)
	if len(networks) != 3 {
		t.Errorf("got %d networks", len(networks))
	}
}
