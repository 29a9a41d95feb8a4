package e2e

import (
	"encoding/xml"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Everything that a tenant may write, filled with paths and XML: what reaches the
// host is made of ids, and the guest finds its own words and no file of the host's.
func TestAGuestNamesNoFileOfTheHost(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	const evil = `/etc/shadow"/><disk type='file'><source file='/etc/shadow'/></disk>`
	data := "#!/bin/sh\n# ../../../../etc/shadow\n#include file:///etc/shadow\n" + evil + "\n"
	id := l.tiny("a", map[string]any{
		"user_data": data,
		"labels":    map[string]string{"path": "etc..shadow", "x": "a.b"},
	})
	// What is no name or label is refused; it never gets as far as the host.
	for _, body := range []map[string]any{
		{"name": "../../etc/shadow", "size": "1 vCPU, 128MB"},
		{"name": "a/b", "size": "1 vCPU, 128MB"},
		{"name": evil, "size": "1 vCPU, 128MB"},
		{"name": "b", "image": "../../../etc/shadow"},
		{"name": "b", "image": "/etc/shadow"},
		{"name": "b", "size": "1 vCPU, 128MB", "labels": map[string]string{"../x": "y"}},
		{"name": "b", "size": "1 vCPU, 128MB", "labels": map[string]string{"x": evil}},
	} {
		if a := l.call("POST", "/v1/instances", body); a.status < 400 || a.status >= 500 {
			t.Errorf("%v: %d %v", body, a.status, a.body)
		}
	}
	for _, url := range []string{"file:///etc/shadow", "json:{\"file\":\"/etc/shadow\"}", "nbd://127.0.0.1/x", "/etc/shadow"} {
		if a := l.call("POST", "/v1/images", map[string]any{"name": "evil", "url": url}); a.status < 400 || a.status >= 500 {
			t.Errorf("image from %s: %d %v", url, a.status, a.body)
		}
	}
	for _, path := range []string{"/v1/instances/..%2f..%2fetc%2fshadow/console-log", "/v1/images/..%2f..%2fetc%2fshadow"} {
		if a := l.call("GET", path, nil); a.status != 404 && a.status != 400 {
			t.Errorf("%s: %d %v", path, a.status, a.body)
		}
	}

	for _, file := range pathsOf(t, l.virsh("dumpxml", "--security-info", "lodge-"+id)) {
		ours := false
		for _, dir := range []string{l.dir, "/var/lib/libvirt/qemu", "/run/libvirt/qemu", "/usr/share", "/usr/bin", "/dev/pts", "/dev/urandom", "/machine"} {
			ours = ours || file == dir || strings.HasPrefix(file, dir+"/")
		}
		if !ours || strings.Contains(file, "..") || filepath.Clean(file) != file {
			t.Errorf("the definition names %s", file)
		}
	}
	// The seed has what the tenant wrote, as it is.
	out := l.sshWait("root", l.address(id), "grep -c 'include file:///etc/shadow' /dev/vdb; grep -c '^root:[$*!]' /dev/vdb; true", time.Minute)
	if lines := strings.Fields(out); len(lines) != 2 || lines[0] == "0" || lines[1] != "0" {
		t.Errorf("the guest finds in its seed: %q", out)
	}
}

// pathsOf are all absolute paths in a definition: attributes and text.
func pathsOf(t *testing.T, text string) (paths []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			for _, a := range x.Attr {
				if strings.HasPrefix(a.Value, "/") {
					paths = append(paths, a.Value)
				}
			}
		case xml.CharData:
			if s := strings.TrimSpace(string(x)); strings.HasPrefix(s, "/") {
				paths = append(paths, s)
			}
		}
	}
	if len(paths) < 4 {
		t.Fatalf("only %v in\n%s", paths, text)
	}
	return paths
}
