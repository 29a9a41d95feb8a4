package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

func TestAListIsPagedByAgeWithoutLossOrRepeat(t *testing.T) {
	w := newWorld(t)
	var want []string
	for n := range 7 {
		if n%3 == 0 {
			w.later(time.Second) // several share an instant
		}
		want = append(want, w.create(fmt.Sprintf("web%d", n)).ID)
	}
	var got []string
	page := cloud.Page{Limit: 2}
	for {
		items, next, err := w.Instances(ctx, operator, cloud.Filter{}, page)
		w.must(err)
		for _, i := range items {
			got = append(got, i.ID)
		}
		if next == "" {
			break
		}
		page.Cursor = next
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestACursorThatNoListGaveIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, cursor := range []string{"x", "!!", "djE6eDph", "djI6MTph", "djE6MTo", strings.Repeat("A", 4000)} {
		_, _, err := w.Instances(ctx, operator, cloud.Filter{}, cloud.Page{Cursor: cursor})
		w.refused(err, cloud.CodeInvalid)
		var e *cloud.Error
		if asError(err, &e); len(e.Fields) != 1 || e.Fields[0].Field != "cursor" {
			t.Fatalf("got %+v", e)
		}
	}
}

func TestACursorIsOfOneListAndFilter(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	w.activeImage("alpine", w.tenant.ID, false)
	for n := range 3 {
		w.create(fmt.Sprintf("web%d", n))
	}
	given := cloud.Filter{TenantID: w.tenant.ID}
	_, next, err := w.Instances(ctx, operator, given, cloud.Page{Limit: 1})
	w.must(err)
	page := cloud.Page{Limit: 2, Cursor: next}
	if items, _, err := w.Instances(ctx, cloud.Caller{TenantID: w.tenant.ID}, cloud.Filter{}, page); err != nil || len(items) != 2 {
		t.Fatalf("the same list as its tenant sees it: %d, %v", len(items), err)
	}
	for name, list := range map[string]func() error{
		"of all tenants": func() error { _, _, err := w.Instances(ctx, operator, cloud.Filter{}, page); return err },
		"of another tenant": func() error {
			_, _, err := w.Instances(ctx, operator, cloud.Filter{TenantID: acme.ID}, page)
			return err
		},
		"by name": func() error {
			_, _, err := w.Instances(ctx, operator, cloud.Filter{TenantID: w.tenant.ID, Name: "web1"}, page)
			return err
		},
		"by state": func() error {
			_, _, err := w.Instances(ctx, operator, cloud.Filter{TenantID: w.tenant.ID, State: "running"}, page)
			return err
		},
		"of revisions by name": func() error {
			_, _, err := w.InstanceRefs(ctx, operator, cloud.Filter{TenantID: w.tenant.ID, Name: "web1"}, page)
			return err
		},
		"by another order": func() error {
			_, _, err := w.Instances(ctx, operator, given, cloud.Page{Cursor: next, Sort: cloud.SortCreatedLast})
			return err
		},
		"by label": func() error {
			_, _, err := w.Instances(ctx, operator, cloud.Filter{TenantID: w.tenant.ID, Labels: selector(t, "env=prod")}, page)
			return err
		},
		"by flavor": func() error {
			_, _, err := w.Instances(ctx, operator, cloud.Filter{TenantID: w.tenant.ID, FlavorID: "c2-m4"}, page)
			return err
		},
		"by age": func() error {
			_, _, err := w.Instances(ctx, operator, cloud.Filter{TenantID: w.tenant.ID, After: noon}, page)
			return err
		},
		"of images":   func() error { _, _, err := w.Images(ctx, operator, given, page); return err },
		"of networks": func() error { _, _, err := w.Networks(ctx, operator, given, page); return err },
		"of tenants":  func() error { _, _, err := w.Tenants(ctx, operator, given, page); return err },
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			err := list()
			w.refused(err, cloud.CodeInvalid)
			var e *cloud.Error
			if asError(err, &e); len(e.Fields) != 1 || e.Fields[0].Field != "cursor" {
				t.Fatalf("got %+v", e)
			}
		})
	}
}

func TestAListIsNarrowedByTenantNameAndState(t *testing.T) {
	w := newWorld(t)
	acme := w.newTenant("acme")
	n := w.wanted("web1")
	n.TenantID, n.Image = acme.ID, w.activeImage("alpine", acme.ID, false).ID
	_, err := w.CreateInstance(ctx, operator, w.now, n)
	w.must(err)
	w.create("web1")
	w.run("web2")
	for _, tc := range []struct {
		name string
		f    cloud.Filter
		want int
	}{
		{"not at all", cloud.Filter{}, 3},
		{"by tenant", cloud.Filter{TenantID: acme.ID}, 1},
		{"by name", cloud.Filter{Name: "web1"}, 2},
		{"by state", cloud.Filter{State: "running"}, 1},
		{"by all", cloud.Filter{TenantID: acme.ID, Name: "web1", State: "running"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			items, _, err := w.Instances(ctx, operator, tc.f, cloud.Page{})
			if err != nil || len(items) != tc.want {
				t.Fatalf("got %d, %v, want %d", len(items), err, tc.want)
			}
		})
	}
}
