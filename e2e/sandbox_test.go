package e2e

import (
	_ "embed"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// sandboxPy tries in place of lodged what the sandbox forbids, and what lodged needs.
//
//go:embed testdata/sandbox.py
var sandboxPy string

// shut: a program in lodged's place, under the same unit, gets nowhere.
func (m *machine) shut() {
	m.Helper()
	m.must("cat >/opt/sandbox.py <<'PY'\n" + sandboxPy + "\nPY")
	// Its own end must not take lodged's socket away.
	out := m.must(`sed -e 's|^ExecStart=.*|ExecStart=/usr/bin/python3 /opt/sandbox.py|' -e 's|^Type=.*|Type=oneshot|' \
		-e 's|^Restart=.*|Restart=no|' -e '/^RuntimeDirectory/d' /etc/systemd/system/lodged.service >/run/systemd/system/lodge-try.service
	systemctl daemon-reload && systemctl start lodge-try; journalctl -u lodge-try -o cat --no-pager`)
	if !strings.Contains(out, "tried ") {
		m.Errorf("the sandbox was not tried:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "WRONG ") || strings.Contains(line, "Traceback") {
			m.Error(strings.TrimSpace(line))
		}
	}
	m.Log(out)
}

// files: nobody else on the machine reads what is private.
func (m *machine) files() {
	m.Helper()
	m.must("useradd --system stranger 2>/dev/null; useradd --system --groups lodge member 2>/dev/null; true")
	want := `711 lodge lodge /var/lib/lodge
600 lodge lodge /var/lib/lodge/lodge.db
600 lodge lodge /var/lib/lodge/lodge.db-wal
600 lodge lodge /var/lib/lodge/lodged.lock
700 lodge lodge /var/lib/lodge/tls
600 lodge lodge /var/lib/lodge/tls/ca.key
700 lodge lodge /var/backups/lodge
755 lodge lodge /run/lodge
660 lodge lodge /run/lodge/lodge.sock
1775 root lodge /var/lib/libvirt/dnsmasq
644 root root /etc/systemd/system/lodged.service
755 root root /usr/local/bin/lodged`
	var paths []string
	for line := range strings.Lines(want) {
		paths = append(paths, strings.Fields(line)[3])
	}
	if diff := cmp.Diff(want, m.must("stat -c '%a %U %G %n' "+strings.Join(paths, " "))); diff != "" {
		m.Errorf("files, - as they should be: %s", diff)
	}
	if out, ok := m.root("runuser -u stranger -- sh -c 'ls /var/lib/lodge; cd /var/lib/lodge; cat lodge.db lodge.db-wal tls/ca.key; lodge list'"); ok || strings.Count(out, "ermission denied") != 4 || !strings.Contains(out, "You may not use") {
		m.Errorf("a stranger finds:\n%s", out)
	}
	m.must("runuser -u member -- lodge list")
	if out := m.must("journalctl -u lodged -o cat --no-pager | grep -A4 'first operator'"); !strings.Contains(out, "none yet") {
		m.Errorf("the journal says of the first operator:\n%s", out)
	}
}
