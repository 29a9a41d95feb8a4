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
