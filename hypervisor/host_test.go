package hypervisor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"lodge/virt"
)

// logged opens and closes a host and gives what it wrote into the log.
func logged(t *testing.T, o Options) string {
	t.Helper()
	var out bytes.Buffer
	o.Log, o.ConsoleDir = slog.New(slog.NewTextHandler(&out, nil)), t.TempDir()
	h, err := Open(o)
	must(t, err)
	must(t, h.Close())
	return out.String()
}

func TestAHostThatIsClosedInOrderWarnsOfNothing(t *testing.T) {
	shared := virt.Open(virt.Options{URI: "test:///default"})
	defer shared.Close()
	for what, o := range map[string]Options{"own link": {URI: "test:///default"}, "shared link": {Link: shared}} {
		text := logged(t, o)
		if !strings.Contains(text, "libvirt answers") || strings.Contains(text, "level=WARN") {
			t.Errorf("%s:\n%s", what, text)
		}
	}
	if up, why := shared.Up(); !up {
		t.Errorf("the shared link was closed, too: %v", why)
	}
}

func TestALibvirtThatIsNotThereIsSaidOnce(t *testing.T) {
	text := logged(t, Options{URI: "qemu+unix:///system?socket=/nonexistent"})
	if n := strings.Count(text, "libvirt does not answer"); n > 1 {
		t.Errorf("said %d times:\n%s", n, text)
	}
}
