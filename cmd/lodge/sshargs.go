package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// target is whom ssh goes to.
type target struct {
	id      string // of the instance
	address string
	user    string
	port    int
	key     string // identity file, "" what ssh finds
}

// sshArgs are the arguments of ssh(1). Addresses of short-lived instances come
// back with other host keys, so keys are kept by instance id, one file each: a
// new instance is taken on trust once, and a known one with another key is
// refused as ever. rest follows the address: options first, as ssh allows it,
// then a command.
func sshArgs(t target, knownHosts string, rest []string) []string {
	args := []string{
		"ssh",
		"-o", "HostKeyAlias=lodge-" + t.id,
		"-o", "UserKnownHostsFile=" + quoteOption(knownHosts),
		"-o", "StrictHostKeyChecking=accept-new",
		"-o", "CheckHostIP=no",
		"-p", strconv.Itoa(t.port),
	}
	if t.key != "" {
		args = append(args, "-i", t.key)
	}
	if t.user != "" {
		args = append(args, "-l", t.user)
	}
	args = append(args, t.address) // without "--", which would end options for the rest too
	return append(args, rest...)
}

// quoteOption protects a path from ssh, which splits this option at blanks.
func quoteOption(path string) string {
	if strings.ContainsAny(path, " \t") {
		return `"` + path + `"`
	}
	return path
}

// knownHosts is the file with the host keys of one instance.
func (a *app) knownHosts(id string) string {
	state := a.getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // as the XDG rules want it
		state = filepath.Join(a.home, ".local", "state")
	}
	return filepath.Join(state, "lodge", "known_hosts", id)
}

// forgetHost removes the host keys of an instance that is gone. A file that
// stays does no harm: no other instance will have the id.
func (a *app) forgetHost(id string) { _ = os.Remove(a.knownHosts(id)) }

// sshAnswers returns nil when an SSH server greets on the address.
func sshAnswers(ctx context.Context, address string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	if err := c.SetDeadline(end); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "SSH-") {
		return fmt.Errorf("something else than SSH answers on %s", address)
	}
	return nil
}
