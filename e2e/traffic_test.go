package e2e

import (
	"strings"
	"testing"
	"time"
)

// traffic is what the API says of an instance's bytes.
func (l *lab) traffic(id string) (egress, ingress float64) {
	l.t.Helper()
	a := l.call("GET", "/v1/usage?instance="+id, nil)
	tenants, _ := a.body["tenants"].([]any)
	if a.status != 200 || len(tenants) != 1 {
		l.t.Fatalf("usage: %d %v", a.status, a.body)
	}
	inst := tenants[0].(map[string]any)["instances"].([]any)[0].(map[string]any)
	return number(inst["egress_bytes"]), number(inst["ingress_bytes"])
}

// A guest sends, receives, and is gone: what it sent is egress, what it received
// ingress, and both are within a tenth of what went through SSH.
func TestTrafficIsCountedByTheGuestsDirection(t *testing.T) {
	const mib = 1 << 20
	l := newLab(t, "--sweep", "1s")
	l.importTiny()
	id := l.tiny("a")
	addr := l.address(id)
	l.sshWait("root", addr, "true", time.Minute)
	if out, ok := l.ssh("root", addr, "head -c 8388608 /dev/zero | tr '\\0' x"); !ok || len(out) != 8*mib {
		t.Fatalf("the guest sent %d bytes, %v", len(out), ok)
	}
	l.kill() // what was read is forgotten; the counters go on
	l.start()
	out, ok := l.sshIn("root", addr, "cat > /dev/null; echo done", strings.NewReader(strings.Repeat("y", 2*mib)))
	if !ok || out != "done" {
		t.Fatalf("the guest took %q, %v", out, ok)
	}
	a := l.call("POST", "/v1/instances/"+id+"/stop", map[string]any{"force": true})
	if a.status != 202 {
		t.Fatalf("stop: %d %v", a.status, a.body)
	}
	l.settled(id, "stopped")
	egress, ingress := l.traffic(id)
	t.Logf("sent %d and received %d bytes over SSH; %.0f bytes out and %.0f in are counted", 8*mib, 2*mib, egress, ingress)
	if egress < 8*mib || egress > 8*mib*1.1 || ingress < 2*mib || ingress > 2*mib*1.3 {
		t.Errorf("%.0f bytes out and %.0f in are counted", egress, ingress)
	}
	l.call("POST", "/v1/instances/"+id+"/start", nil)
	l.settled(id, "running")
	l.gone(id)
	if e, i := l.traffic(id); e < egress || i < ingress || e > egress+mib || i > ingress+mib {
		t.Errorf("after another run of a moment %.0f bytes out and %.0f in are counted", e, i)
	}
}
