// Package tally counts, for tests, what a call of a hand costs in calls to
// libvirtd: time on a busy machine says little about that.
package tally

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// Door is a socket in front of libvirtd's own that counts what goes through.
type Door struct {
	URI string

	mu    sync.Mutex
	calls int
}

const libvirtd = "/run/libvirt/libvirt-sock"

// Open opens a door until the test ends.
func Open(t testing.TB) *Door {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	at, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = at.Close() })
	d := &Door{URI: "qemu+unix:///system?socket=" + path}
	go func() {
		for {
			in, err := at.Accept()
			if err != nil {
				return
			}
			go d.pass(in)
		}
	}()
	return d
}

// Calls gives the number of calls since it was asked last.
func (d *Door) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.calls
	d.calls = 0
	return n
}

func (d *Door) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("unix", libvirtd)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(in, out)
		_ = in.Close()
	}()
	defer out.Close()
	for {
		packet, err := read(in)
		if err != nil {
			return
		}
		if isCall(packet) {
			d.mu.Lock()
			d.calls++
			d.mu.Unlock()
		}
		if _, err := out.Write(packet); err != nil {
			return
		}
	}
}

// read reads one packet: its length, then a header of program, version,
// procedure, type, serial and status, four bytes each, then the payload.
// https://libvirt.org/kbase/internals/rpc.html
func read(r io.Reader) ([]byte, error) {
	size := make([]byte, 4)
	if _, err := io.ReadFull(r, size); err != nil {
		return nil, err
	}
	packet := make([]byte, max(28, binary.BigEndian.Uint32(size)))
	copy(packet, size)
	_, err := io.ReadFull(r, packet[4:])
	return packet, err
}

// isCall leaves signs of life out.
func isCall(packet []byte) bool {
	const remote, call = 0x20008086, 0
	return binary.BigEndian.Uint32(packet[4:]) == remote && binary.BigEndian.Uint32(packet[16:]) == call
}
