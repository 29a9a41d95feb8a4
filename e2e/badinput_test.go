package e2e

import (
	"io"
	"strings"
	"testing"
	"time"
)

// Each kind of bad input gets a status, a code and a sentence, and leaves
// nothing behind.
func TestBadInputIsRefusedAndLeavesNothing(t *testing.T) {
	l := newLab(t)
	l.importTiny()
	l.create(map[string]any{"name": "taken", "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "power": "stopped"})
	l.eventually(time.Minute, "the host is quiet", func() bool { return l.list("/v1/instances")[0]["settled"] == true })
	before := jsonOf(l.traces())

	ok := func(more map[string]any) map[string]any {
		body := map[string]any{"name": "bad", "vcpus": 1, "memory_mib": 128}
		for k, v := range more {
			body[k] = v
		}
		return body
	}
	for _, tt := range []struct {
		name   string
		body   any
		status int
		code   string
	}{
		{"unknown image", ok(map[string]any{"image": "nosuch"}), 400, "invalid_request"},
		{"no vCPU", ok(map[string]any{"vcpus": 0}), 400, "invalid_request"},
		{"negative memory", ok(map[string]any{"memory_mib": -1}), 400, "invalid_request"},
		{"absurd memory", ok(map[string]any{"memory_mib": 1 << 40}), 400, "invalid_request"},
		{"absurd disk", ok(map[string]any{"disk_gib": 1 << 30}), 400, "invalid_request"},
		{"more memory than the host has", ok(map[string]any{"memory_mib": 4 << 20}), 409, "insufficient_capacity"},
		{"size and nothing in it", map[string]any{"name": "bad", "size": "lots"}, 400, "invalid_request"},
		{"zero size", map[string]any{"name": "bad", "size": "0 vCPU, 0GB"}, 400, "invalid_request"},
		{"name with a space", ok(map[string]any{"name": "web 1"}), 400, "invalid_request"},
		{"name of 300 characters", ok(map[string]any{"name": strings.Repeat("a", 300)}), 400, "invalid_request"},
		{"duplicate name", ok(map[string]any{"name": "taken"}), 409, "name_taken"},
		{"user data over 64 KiB", ok(map[string]any{"user_data": "#!/bin/sh\n" + strings.Repeat("x", 64<<10)}), 400, "invalid_request"},
		{"malformed SSH key", ok(map[string]any{"ssh_keys": []string{"ssh-ed25519 nonsense"}}), 400, "invalid_request"},
		{"unknown field", ok(map[string]any{"colour": "red"}), 400, "unknown_field"},
		{"no JSON", "{", 400, "malformed_json"},
		{"100 MiB of JSON", io.MultiReader(strings.NewReader(`{"name":"`), io.LimitReader(letters{}, 100<<20)), 413, "body_too_large"},
	} {
		t.Run(tt.name, func(t *testing.T) { l.refused(t, l.call("POST", "/v1/instances", tt.body), tt.status, tt.code) })
	}

	zero := strings.Repeat("\x00", 4096)
	for _, tt := range []struct {
		name   string
		query  string
		bytes  string
		status int
		code   string
	}{
		{"image that is no disk", "", "hello", 422, "image_format"},
		{"image of zeros", "", zero, 422, "image_format"},
		{"wrong checksum", "&sha256=" + strings.Repeat("a", 64), strings.Repeat("\x00", 510) + "\x55\xaa", 422, "checksum_mismatch"},
		{"qcow2 with a backing file", "", qcow2(1<<30, "/etc/passwd"), 422, "image_unsafe"},
		{"qcow2 of an exabyte", "", qcow2(1<<60, ""), 422, "image_too_big"},
		{"VMDK", "", "KDMV" + zero, 422, "image_format"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.refused(t, l.send("POST", "/v1/images?name=bad"+tt.query, "application/octet-stream", strings.NewReader(tt.bytes)), tt.status, tt.code)
		})
	}
	for _, url := range []string{"http://127.0.0.1/x", "http://localhost:1/x", "http://[::1]/x", "http://169.254.169.254/latest", "http://[fe80::1]/x", "file:///etc/passwd", "ftp://example.org/x"} {
		t.Run("URL "+url, func(t *testing.T) {
			l.refused(t, l.call("POST", "/v1/images", map[string]any{"name": "bad", "url": url}), 400, "url_refused")
		})
	}
	for _, path := range []string{"/v1/instances/nosuch", "/v1/instances/00000000-0000-4000-8000-000000000000", "/v1/images/x", "/v1/nosuch", "/nosuch"} {
		t.Run("GET "+path, func(t *testing.T) { l.refused(t, l.call("GET", path, nil), 404, "not_found") })
	}

	if after := jsonOf(l.traces()); after != before {
		t.Errorf("left behind: %s, before: %s", after, before)
	}
	if i, m := len(l.list("/v1/instances")), len(l.list("/v1/images")); i != 1 || m != 1 {
		t.Errorf("%d instances and %d images are left", i, m)
	}
}

func (l *lab) refused(t *testing.T, a answer, status int, code string) {
	t.Helper()
	sentence, _ := a.body["detail"].(string)
	if a.status != status || a.code() != code || !strings.HasSuffix(sentence, ".") {
		t.Errorf("got %d %s, want %d %s: %v", a.status, a.code(), status, code, a.body)
	}
}

// letters never end.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// qcow2 is a header of version 3 with nothing behind it.
// QEMU, docs/interop/qcow2
func qcow2(size uint64, backing string) string {
	b := make([]byte, 65536*3)
	put := func(at int, n int, v uint64) {
		for i := range n {
			b[at+i] = byte(v >> (8 * (n - 1 - i)))
		}
	}
	copy(b, "QFI\xfb")
	put(4, 4, 3)
	if backing != "" {
		put(8, 8, 512)
		put(16, 4, uint64(len(backing)))
		copy(b[512:], backing)
	}
	put(20, 4, 16)      // cluster bits
	put(24, 8, size)    // virtual size
	put(36, 4, 2)       // L1 entries
	put(40, 8, 65536)   // L1 table
	put(48, 8, 2*65536) // refcount table
	put(56, 4, 1)
	put(96, 4, 4) // refcount order
	put(100, 4, 104)
	return string(b)
}
