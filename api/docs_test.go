package api_test

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"lodge/cloud"
)

// attributes collects every value of an attribute.
func attributes(n *html.Node, name string, out map[string]int) {
	for _, a := range n.Attr {
		if a.Key == name {
			out[a.Val]++
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		attributes(c, name, out)
	}
}

func TestTheReferenceShowsEveryOperationAndNeedsNothingElse(t *testing.T) {
	f := newFront(t)
	a := f.do("GET", "/docs", "").want(200)
	for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	policy := a.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("policy %q", policy)
	}
	root, err := html.Parse(strings.NewReader(string(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	ids, links, sources := map[string]int{}, map[string]int{}, map[string]int{}
	attributes(root, "id", ids)
	attributes(root, "href", links)
	attributes(root, "src", sources)
	for route, op := range operations(t) {
		if ids[op.OperationId] != 1 {
			t.Errorf("%s (%s) is there %d times", route, op.OperationId, ids[op.OperationId])
		}
	}
	for _, c := range cloud.Codes() {
		if ids["code-"+string(c)] != 1 {
			t.Errorf("the code %s is not explained", c)
		}
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("the anchor %s is there %d times", id, n)
		}
	}
	for l := range links {
		at, inside := strings.CutPrefix(l, "#")
		if inside && ids[at] != 1 || !inside && l != "/v1/openapi.yaml" {
			t.Errorf("a link leads to %s", l)
		}
	}
	page := string(a.body)
	if len(sources) > 0 || strings.Contains(page, "<script") || strings.Contains(page, " style=") || strings.Contains(page, "@import") || strings.Contains(page, "url(") {
		t.Error("the page fetches something, or has a script or an inline style")
	}
	if strings.Contains(page, "%!") || strings.Contains(page, "&lt;nil&gt;") || strings.Contains(page, "map[") {
		t.Error("Go's words for a mistake are in the page")
	}
	for _, want := range []string{"needs operator", "open to everybody", "curl -X POST -H", "&#34;size&#34;: &#34;2 vCPU, 4GB&#34;"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	f.do("GET", "/docs?theme=dark", "").wantFailure(400, cloud.CodeUnknownField)
}

// A real browser draws it and has nothing to complain of: a style that the policy
// forbids or a file that it wants to fetch would be in its console.
func TestTheReferenceInABrowser(t *testing.T) {
	chromium := chromium(t)
	srv := httptest.NewServer(newFront(t))
	t.Cleanup(srv.Close)
	for _, size := range []string{"390,844", "1400,900"} {
		dir := t.TempDir()
		shot := filepath.Join(dir, "page.png")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		out, err := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir="+dir,
			"--window-size="+size, "--screenshot="+shot, "--enable-logging=stderr", "--v=0", srv.URL+"/docs").CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, line := range strings.Split(string(out), "\n") {
			// The browser's own pages talk too, as of a slow network where there is none.
			if strings.Contains(line, "CONSOLE") && !strings.Contains(line, "source: chrome://") {
				t.Errorf("the browser says: %s", line)
			}
		}
		info, err := os.Stat(shot)
		if err != nil || info.Size() < 20_000 {
			t.Errorf("at %s the picture is empty: %v", size, err)
		}
		if keep := os.Getenv("LODGE_KEEP_SHOTS"); keep != "" {
			b, err := os.ReadFile(shot)
			if err == nil {
				err = os.WriteFile(filepath.Join(keep, "docs-"+size+".png"), b, 0o644)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
}
