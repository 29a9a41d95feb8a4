package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

type bridgeFacts struct {
	root     bool
	netAdmin bool  // CAP_NET_ADMIN in the host's network
	tried    bool  // a namespace for the trial could be made
	err      error // of making a bridge
	tun      error // of finding /dev/net/tun
}

func probeBridge() bridgeFacts {
	b := bridgeFacts{root: os.Geteuid() == 0}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		b.netAdmin = hasCapability(status, unix.CAP_NET_ADMIN)
	}
	_, b.tun = os.Stat("/dev/net/tun")
	b.tried, b.err = tryBridge()
	return b
}

// tryBridge makes a bridge in a network namespace of its own, so that nothing
// can be left on the host, however this process ends.
func tryBridge() (tried bool, err error) {
	type result struct {
		tried bool
		err   error
	}
	got := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here, and the namespace with it
		if unix.Unshare(unix.CLONE_NEWNET) != nil {
			got <- result{}
			return
		}
		err := makeBridge()
		got <- result{true, err}
	}()
	r := <-got
	return r.tried, r.err
}

func makeBridge() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var name [unix.IFNAMSIZ]byte
	copy(name[:], "doctor0")
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCBRADDBR, uintptr(unsafe.Pointer(&name))); e != 0 {
		return e
	}
	return nil
}

// hasCapability reads the effective set in /proc/self/status.
func hasCapability(status []byte, bit uint) bool {
	s := bufio.NewScanner(bytes.NewReader(status))
	for s.Scan() {
		key, value, _ := strings.Cut(s.Text(), ":")
		if key != "CapEff" {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		return err == nil && set&(1<<bit) != 0
	}
	return false
}

func judgeBridge(b bridgeFacts) finding {
	switch {
	case notThere(b.tun):
		return fail("/dev/net/tun is not there, so guests can have no network card.",
			"Load it with `modprobe tun`; in a container, give it the device /dev/net/tun.")
	case errors.Is(b.err, unix.ENOPKG) || errors.Is(b.err, unix.ENOTTY) || errors.Is(b.err, unix.EINVAL):
		return fail("The kernel has no bridges.", "Load them with `modprobe bridge`.")
	case b.tried && b.err != nil:
		return fail(fmt.Sprintf("A bridge cannot be made: %v.", b.err), "Load the module with `modprobe bridge` and look at `dmesg`.")
	case !b.root:
		return unseen("Whether bridges can be made")
	case !b.netAdmin:
		return fail("This root may not change the network (CAP_NET_ADMIN is missing).", "Give the container the capability NET_ADMIN.")
	case !b.tried:
		return warn("Whether the kernel has bridges could not be tried.", "Try `ip link add doctor0 type bridge && ip link del doctor0`.")
	}
	return ok("Bridges and taps can be made.")
}

type forwardingFacts struct {
	on       bool
	err      error
	readOnly bool // /proc/sys cannot be written, not even by root
}

const forwardFile = "/proc/sys/net/ipv4/ip_forward"

func probeForwarding() forwardingFacts {
	b, err := os.ReadFile(forwardFile)
	return forwardingFacts{
		on: strings.TrimSpace(string(b)) == "1", err: err,
		readOnly: errors.Is(unix.Access(forwardFile, unix.W_OK), unix.EROFS),
	}
}

func judgeForwarding(f forwardingFacts) finding {
	switch {
	case f.err != nil:
		return warn("Whether IPv4 is forwarded could not be read.", "Check it with `sysctl net.ipv4.ip_forward`.")
	case f.on:
		return ok("IPv4 is forwarded.")
	case f.readOnly:
		return fail("IPv4 is not forwarded and /proc/sys is read-only, so guests will have no way out.",
			"Run `sysctl -w net.ipv4.ip_forward=1` outside this container.")
	}
	return ok("IPv4 is not forwarded yet; libvirt turns it on with the first network.")
}

type firewallFacts struct {
	root  bool
	pool  string // --network-pool
	tool  string // "iptables", "nft", "" none
	err   error
	rules string // what the tool said
}

const toolPatience = 10 * time.Second

// probeFirewall lists the rules for forwarded packets.
func probeFirewall(ctx context.Context, pool string) firewallFacts {
	f := firewallFacts{root: os.Geteuid() == 0, pool: pool}
	if !f.root {
		return f
	}
	path, args := findProgram("iptables"), []string{"-S"}
	f.tool = "iptables"
	if path == "" {
		path, args = findProgram("nft"), []string{"list", "chains"}
		f.tool = "nft"
	}
	if path == "" {
		f.tool = ""
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, toolPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	f.rules, f.err = string(out), err
	return f
}

// forwardDrops reads `iptables -S` or `nft list chains`: what happens to a
// forwarded packet that no rule takes, and who else minds such packets.
func forwardDrops(tool, rules string) (drops, docker, ufw, libvirt bool) {
	inForward := false
	for line := range strings.Lines(rules) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, "DOCKER"):
			docker = true
		case strings.Contains(line, "ufw-"):
			ufw = true
		}
		if tool == "iptables" {
			drops = drops || line == "-P FORWARD DROP"
			libvirt = libvirt || strings.HasPrefix(line, "-A FORWARD") && strings.Contains(line, "LIBVIRT_")
			continue
		}
		if strings.HasPrefix(line, "chain ") {
			inForward = false
		}
		if strings.Contains(line, "hook forward") {
			inForward = true
		}
		drops = drops || inForward && strings.Contains(line, "policy drop")
		libvirt = libvirt || strings.Contains(line, "chain LIBVIRT_")
	}
	return drops, docker, ufw, libvirt
}

func judgeFirewall(f firewallFacts) finding {
	switch {
	case !f.root:
		return unseen("The firewall")
	case f.tool == "":
		return warn("Neither iptables nor nft is installed; libvirt needs one of them for the guests' way out.",
			"Install one with `apt install nftables iptables`.")
	case f.err != nil:
		return warn("The firewall could not be listed.", "Try `"+f.tool+"` by hand; the kernel may lack netfilter.")
	}
	drops, docker, ufw, libvirt := forwardDrops(f.tool, f.rules)
	allowed := f.pool != "" && strings.Contains(f.rules, "-A DOCKER-USER -s "+f.pool+" -j ACCEPT")
	switch {
	case !drops:
		return ok("The firewall lets forwarded packets through.")
	case libvirt:
		return ok("The firewall drops forwarded packets, and libvirt has put its own rules for guests before that.")
	case docker && allowed:
		return ok("Docker drops forwarded packets, and the guests' network is let through.")
	case docker:
		return warn("Docker has set the policy of FORWARD to DROP: guests may have no way out.",
			fmt.Sprintf("Run `iptables -I DOCKER-USER -s %s -j ACCEPT && iptables -I DOCKER-USER -d %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT` after each start of Docker, or set \"ip-forward-no-drop\": true in /etc/docker/daemon.json (Docker 28 and later).", f.pool, f.pool))
	case ufw:
		return warn("ufw drops forwarded packets: guests may have no way out.", "Run `ufw route allow from "+f.pool+"`.")
	}
	return warn("The firewall drops forwarded packets: guests may have no way out.", "Let packets from "+f.pool+" and their answers through the forward chain.")
}
