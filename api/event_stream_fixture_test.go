package api_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"lodge/api/client"
	"lodge/cloud"
)

// happen writes n events of a tenant, one a commit.
func (g *guarded) happen(tenant string, n int) {
	g.t.Helper()
	for range n {
		img, err := g.db.CreateImage(context.Background(), operator, g.store.now, cloud.NewImage{
			ID: g.store.newID(), TenantID: g.tenants[tenant].ID, Name: fmt.Sprint("image-", made.Add(1)), Source: cloud.SourceUpload, Firmware: cloud.FirmwareBIOS,
		})
		if err != nil || img.ID == "" {
			g.t.Error(err)
		}
	}
}

var made atomic.Int64

// fill records many events of a tenant at once.
func (g *guarded) fill(tenant string, n int) {
	g.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+g.path+"?_busy_timeout=5000")
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(`
		INSERT INTO event (at, tenant_id, subject_kind, subject_id, name, type, message)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		SELECT 1, ?, 'instance', 'x', 'web', 'instance.running', 'The instance web runs.' FROM n`, n, g.tenants[tenant].ID)
	if err != nil {
		g.t.Fatal(err)
	}
	g.happen(tenant, 1) // rings
}

func (g *guarded) recorded(tenant string, after int64) (seqs []int64) {
	g.t.Helper()
	for {
		events, err := g.db.Events(context.Background(), operator, cloud.EventFilter{TenantID: g.tenants[tenant].ID, After: after, Limit: 1000})
		if err != nil {
			g.t.Fatal(err)
		}
		if len(events) == 0 {
			return seqs
		}
		for _, e := range events {
			seqs = append(seqs, e.Seq)
		}
		after = seqs[len(seqs)-1]
	}
}

// listen puts the house on a loopback address.
func (g *guarded) listen() *httptest.Server {
	srv := httptest.NewServer(g.front)
	g.t.Cleanup(srv.Close)
	return srv
}

// open follows as an actor, raw.
func (g *guarded) open(ctx context.Context, url, actor, query string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/events/stream"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.tokens[actor])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// messages gives the blocks of a stream as they come.
func messages(r io.Reader) <-chan string {
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		block := ""
		for s := bufio.NewScanner(r); s.Scan(); {
			if s.Text() != "" {
				block += s.Text() + "\n"
				continue
			}
			out <- block
			block = ""
		}
	}()
	return out
}

func nextMessage(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case m, ok := <-c:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes")
	}
	return ""
}

func (g *guarded) client(url, actor string) *client.Client {
	g.t.Helper()
	c, err := client.New(url, client.WithToken(g.tokens[actor]))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return c
}

// cutting is a way to addr that breaks every connection after a random number of
// bytes from there.
func cutting(t *testing.T, addr string, seed uint64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	random := rand.New(rand.NewPCG(seed, 1))
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			most := 500 + random.Int64N(20_000)
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); out.Close() }()
				_, _ = io.CopyN(in, out, most)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}
