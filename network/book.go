package network

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"lodge/cloud"
)

// book is where the fixed leases of a network stand: a file that its dnsmasq
// reads at its start and at every SIGHUP. DESIGN.md says why they are not in the
// network's XML.
type book struct {
	dir    string // of the books; dnsmasq must be allowed to read there
	pidDir string // where libvirt keeps the pid files of its dnsmasqs

	mu sync.Mutex // held from read to write, for all networks: it takes microseconds
}

func (b *book) path(id string) string {
	return filepath.Join(b.dir, cloud.HostNetworkName(id)+".ports")
}

// read gives the ports of a network by MAC; none when there is no book.
func (b *book) read(id string) (map[string]cloud.PortSpec, error) {
	text, err := os.ReadFile(b.path(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the fixed leases: %w", err)
	}
	ports := make(map[string]cloud.PortSpec)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if p, ok := parseLine(lines.Text()); ok {
			ports[p.MAC] = p
		}
	}
	return ports, lines.Err()
}

// parseLine reads a line as dnsmasq's --dhcp-host has it: MAC,address[,name].
func parseLine(line string) (cloud.PortSpec, bool) {
	mac, rest, ok := strings.Cut(line, ",")
	if !ok || strings.HasPrefix(line, "#") {
		return cloud.PortSpec{}, false
	}
	ip, name, _ := strings.Cut(rest, ",")
	addr, err := netip.ParseAddr(ip)
	return cloud.PortSpec{MAC: mac, Address: addr, Name: name}, err == nil
}

// change lets f alter the ports of a network and writes them when f says that it
// did. The new book takes the place of the old one at once.
func (b *book) change(id string, f func(ports map[string]cloud.PortSpec) (changed bool)) (changed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ports, err := b.read(id)
	if err != nil || !f(ports) {
		return false, err
	}
	return true, b.write(id, ports)
}

// touch makes an empty book where there is none.
func (b *book) touch(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := os.Stat(b.path(id)); err == nil {
		return nil
	}
	return b.write(id, nil)
}

func (b *book) write(id string, ports map[string]cloud.PortSpec) error {
	var text bytes.Buffer
	fmt.Fprintln(&text, "# The ports of a network of lodge, which writes this file anew with every change.")
	macs := make([]string, 0, len(ports))
	for mac := range ports {
		macs = append(macs, mac)
	}
	slices.Sort(macs)
	for _, mac := range macs {
		p := ports[mac]
		fmt.Fprintf(&text, "%s,%s", p.MAC, p.Address)
		if p.Name != "" {
			fmt.Fprintf(&text, ",%s", p.Name)
		}
		text.WriteByte('\n')
	}
	part := b.path(id) + ".new"
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return fmt.Errorf("write the fixed leases: %w", err)
	}
	if err := writeOwn(part, text.Bytes()); err != nil {
		return fmt.Errorf("write the fixed leases: %w", err)
	}
	if err := os.Rename(part, b.path(id)); err != nil {
		return fmt.Errorf("write the fixed leases: %w", err)
	}
	return nil
}

// writeOwn writes a file that dnsmasq, which is not root, may read whatever the
// umask. The folder is not lodge's alone: a link that somebody put there is refused.
func writeOwn(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// remove throws a book away.
func (b *book) remove(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := os.Remove(b.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the fixed leases: %w", err)
	}
	return nil
}

// errNoServer: libvirt started a dnsmasq for the network, and it is not there.
var errNoServer = errors.New("the network's dnsmasq is gone")

// due reports whether libvirt started a dnsmasq for the network some time, as it
// does for each but a pretend one.
func (b *book) due(id string) bool {
	_, err := os.Stat(b.pidFile(id))
	return err == nil
}

func (b *book) pidFile(id string) string {
	return filepath.Join(b.pidDir, cloud.HostNetworkName(id)+".pid")
}

// server is the pid of the network's dnsmasq: 0 where there is none and none is
// due, on a stopped or pretend network. Returns errNoServer when it has died.
func (b *book) server(id string) (int, error) {
	text, err := os.ReadFile(b.pidFile(id))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, errNoServer
	}
	// The pid may belong to another process by now.
	cmd, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(cmd, []byte("/"+cloud.HostNetworkName(id)+".conf")) {
		return 0, errNoServer
	}
	return pid, nil
}

// announce makes the network's dnsmasq read its book. It is nil where there is
// no dnsmasq and none is due.
func (b *book) announce(id string) error {
	pid, err := b.server(id)
	if err != nil || pid == 0 {
		return err
	}
	if err := unix.Kill(pid, unix.SIGHUP); err != nil {
		return errNoServer
	}
	return nil
}
