package store_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lodge/cloud"
)

// keyed is the operator with an Idempotency-Key.
func keyed(key, request string) cloud.Caller {
	c := operator
	c.Once = &cloud.Once{
		Key: key, Request: func() string { return request },
		Render: func(v any) (cloud.Answer, error) { return cloud.Answer{Status: 202, Body: fmt.Append(nil, v)}, nil },
	}
	return c
}

// commits counts the commits in the write-ahead log. With synchronous=FULL each
// of them is one fsync, and nothing else is: https://www.sqlite.org/fileformat2.html#walformat
func (w *world) commits() (n int) {
	w.t.Helper()
	b, err := os.ReadFile(w.path + "-wal")
	w.must(err)
	const header, frame = 32, 24
	if len(b) < header {
		return 0
	}
	page := int(binary.BigEndian.Uint32(b[8:]))
	for at := header; at+frame+page <= len(b); at += frame + page {
		if binary.BigEndian.Uint32(b[at+4:]) != 0 && string(b[at+8:at+16]) == string(b[16:24]) {
			n++
		}
	}
	return n
}

func TestCreatingWithAKeyIsOneCommit(t *testing.T) {
	w := newWorld(t)
	cost := func(c cloud.Caller, name string) int {
		before := w.commits()
		_, err := w.CreateInstance(ctx, c, w.now, w.wanted(name))
		w.must(err)
		return w.commits() - before
	}
	if n := cost(operator, "without"); n != 1 {
		t.Errorf("without a key: %d commits", n)
	}
	for i := range 5 {
		if n := cost(keyed(fmt.Sprint("key", i), "r"), fmt.Sprint("with", i)); n != 1 {
			t.Errorf("with a key: %d commits", n)
		}
	}
	before := w.commits()
	var replay *cloud.Replay
	if _, err := w.CreateInstance(ctx, keyed("key1", "r"), w.now, w.wanted("again")); !errors.As(err, &replay) {
		t.Fatal(err)
	}
	if n := w.commits() - before; n != 0 {
		t.Errorf("a replay: %d commits", n)
	}
}

// lodged that ends in mid-upload forgets the image when it comes back, and frees
// the key: the client that tries again is not told to wait for nobody.
func TestTheKeyOfAnInterruptedUploadIsFree(t *testing.T) {
	w := newWorld(t)
	upload := func() (cloud.Image, error) {
		return w.CreateImage(ctx, keyed("k", "r"), w.now, cloud.NewImage{
			ID: id("upload", w.now), TenantID: w.tenant.ID, Name: "big", Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
		})
	}
	first, err := upload()
	w.must(err)
	w.later(time.Minute)
	_, err = upload()
	w.refused(err, cloud.CodeConflict)
	if !strings.Contains(cloud.MessageOf(err), "still running") {
		t.Error(err)
	}
	left, err := w.InterruptedUploads(ctx)
	w.must(err)
	for _, img := range left {
		w.must(w.ForgetImage(ctx, w.now, img.ID, nil))
	}
	second, err := upload()
	w.must(err)
	if second.ID == first.ID {
		t.Error("it is the first one still")
	}
	w.must(w.RecordImage(ctx, w.now, cloud.ImageRecord{
		ID: second.ID, State: cloud.ImageActive, Info: &cloud.ImageInfo{Format: cloud.FormatRaw, SizeBytes: 1, VirtualSize: 1},
		Answer: func(img cloud.Image) (cloud.Answer, error) {
			return cloud.Answer{Status: 201, Body: []byte(img.State)}, nil
		},
	}))
	_, err = upload()
	var replay *cloud.Replay
	if !errors.As(err, &replay) || replay.Status != 201 || string(replay.Body) != "active" {
		t.Errorf("replay: %+v, %v", replay, err)
	}
	// A day later the key is as good as new.
	w.later(24 * time.Hour)
	w.must(w.DeleteImage(ctx, operator, w.now, second.ID))
	_, err = upload()
	w.must(err)
}

// A key is its user's in one tenant and for what the token is bound to: a narrower
// token gets no answer of a wider one, and a token or session that takes the place
// of another goes on with its keys.
func TestAKeyIsOfOneTenantAndOneBinding(t *testing.T) {
	w := newWorld(t)
	other := w.newTenant("other")
	w.activeImage("debian-12", other.ID, false)
	ada := w.user("ada", cloud.RoleAdmin)
	_, err := w.SetMember(ctx, operator, w.now, other.ID, "ada", cloud.RoleAdmin)
	w.must(err)
	token := func(name, tenant string, role cloud.Role, scope cloud.Scope) cloud.Caller {
		t.Helper()
		w.later(time.Second)
		c, err := w.session(ada).For(tenant)
		w.must(err)
		_, err = w.token(c, cloud.NewToken{Name: name, TenantID: tenant, UserID: ada.ID, Role: role, Scope: scope})
		w.must(err)
		who, err := w.Identity(ctx, w.now, "hash of "+name)
		w.must(err)
		c, err = who.For("")
		w.must(err)
		return c
	}
	session := func(tenant string) cloud.Caller {
		t.Helper()
		w.later(time.Second)
		c, err := w.session(ada).For(tenant)
		w.must(err)
		return c
	}
	// The groups share a key among themselves and with no other.
	groups := [][]cloud.Caller{
		{session(w.tenant.ID), session(w.tenant.ID)},
		{session(other.ID), session(other.ID)},
		{token("ci", w.tenant.ID, cloud.RoleMember, ""), token("ci, rotated", w.tenant.ID, cloud.RoleMember, "")},
		{token("wider", w.tenant.ID, cloud.RoleAdmin, "")},
		{token("scoped", w.tenant.ID, cloud.RoleMember, cloud.ScopeRead)},
		{token("elsewhere", other.ID, cloud.RoleMember, "")},
	}
	for i, group := range groups {
		for j, c := range group {
			c.Once = keyed("k", "r").Once
			n := w.wanted(fmt.Sprint("i", i))
			n.TenantID = c.TenantID
			_, err := w.CreateInstance(ctx, c, w.now, n)
			var replay *cloud.Replay
			if again := errors.As(err, &replay); again != (j > 0) || !again && err != nil {
				t.Errorf("group %d, %d: replayed: %v, %v", i, j, again, err)
			}
		}
	}
}

// Two people who log in with the same key do not get in each other's way.
func TestTheKeyOfALoginIsOfWhoLogsIn(t *testing.T) {
	w := newWorld(t)
	login := func(u cloud.User, n string) error {
		c := cloud.Caller{Via: "login", Once: keyed("k", "login of "+u.Name).Once}
		_, err := w.OpenSession(ctx, c, w.now, cloud.NewToken{ID: id("session", n), UserID: u.ID, Name: "login", ExpiresAt: w.now.Add(time.Hour)}, "hash "+n)
		return err
	}
	ada, bob := w.user("ada", cloud.RoleViewer), w.user("bob", cloud.RoleViewer)
	w.must(login(ada, "1"))
	w.must(login(bob, "2"))
	var replay *cloud.Replay
	if err := login(ada, "3"); !errors.As(err, &replay) {
		t.Errorf("the same login again: %v", err)
	}
}
