# Run in place of lodged, under its unit: tries what a lodged that was taken over
# would try on the machine, and what lodged itself needs. Says WRONG for each that
# does not go as it should.
import ctypes, errno, mmap, os, socket, subprocess

libc = ctypes.CDLL(None, use_errno=True)
tried = 0


def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path):
    with open(path, "w") as f:
        f.write("x")


def run(*command):
    if subprocess.run(command, capture_output=True).returncode:
        raise OSError(errno.EPERM, "it failed")


def listed(path):
    if not os.listdir(path):
        raise OSError(errno.ENOENT, "it is empty")


def suid():
    path = "/var/lib/lodge/try-suid"
    write(path)
    try:
        os.chmod(path, 0o4755)
    finally:
        os.remove(path)


def writable_code():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def read(path):
    with open(path, "rb") as f:
        if not f.read(1):
            raise OSError(errno.ENODATA, "nothing is in it")


def forbidden(what, do, *args):
    global tried
    tried += 1
    try:
        do(*args)
    except OSError as e:
        print("refused:", what, "-", errno.errorcode.get(e.errno, e.errno))
        return
    except subprocess.SubprocessError:
        return
    print("WRONG it can:", what)


def needed(what, do, *args):
    global tried
    tried += 1
    try:
        do(*args)
    except OSError as e:
        print("WRONG it cannot:", what, "-", e)


for path in ["/etc", "/usr/local/bin", "/usr/bin", "/boot", "/var/lib", "/var/lib/libvirt", "/run", "/opt", "/root", "/home/debian", "/sys/kernel", "/proc/sys/kernel"]:
    forbidden("write in " + path, write, path + "/try")
forbidden("change the kernel's settings", write, "/proc/sys/kernel/core_pattern")
forbidden("make a control group", os.mkdir, "/sys/fs/cgroup/try")
forbidden("see homes", listed, "/home")
forbidden("see root's home", listed, "/root")
forbidden("see the homes of users", listed, "/run/user")
for path in ["/etc/shadow", "/etc/gshadow", "/etc/ssh/ssh_host_ed25519_key"]:
    forbidden("read " + path, read, path)
forbidden("read the disk", read, "/dev/vda")
forbidden("read the kernel's log", read, "/dev/kmsg")
forbidden("read memory", read, "/proc/kcore")
forbidden("become root", os.setuid, 0)
forbidden("become root by sudo", run, "sudo", "-n", "true")
forbidden("become root by su", run, "su", "-c", "true")
forbidden("give files away", os.chown, "/var/lib/lodge/host-id", 0, 0)
forbidden("make a program of its user's", suid)
forbidden("make a device", os.mknod, "/var/lib/lodge/try-dev", 0o600 | 0o060000, os.makedev(254, 0))
forbidden("mount", call, 165, b"none", b"/mnt", b"tmpfs", 0, None)
forbidden("unmount", call, 166, b"/home", 2)
forbidden("change the root", os.chroot, "/var/lib/lodge")
forbidden("make a user namespace", call, 272, 0x10000000)
forbidden("make a network namespace", call, 272, 0x40000000)
forbidden("trace the first process", call, 101, 16, 1, 0, 0)
forbidden("signal by ptrace", call, 101, 0x4206, 1, 0, 0)
forbidden("load a module", call, 313, -1, b"", 0)
forbidden("reboot", call, 169, 0xFEE1DEAD, 672274793, 0x1234567, None)
forbidden("set the clock", call, 227, 0, ctypes.byref((ctypes.c_long * 2)(1, 0)))
forbidden("set the host's name", call, 170, b"try", 3)
forbidden("add a key", call, 248, b"user", b"try", b"x", 1, -1)
forbidden("load a program of BPF", call, 321, 5, b"\0" * 128, 128)
forbidden("watch performance", call, 298, b"\0" * 112, 0, -1, -1, 0)
forbidden("swap", call, 167, b"/dev/vda", 0)
forbidden("write to ports", call, 172, 3)
forbidden("memory that is written and run", writable_code)
forbidden("real time", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
forbidden("a raw packet socket", socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
forbidden("vsock", socket.socket, socket.AF_VSOCK, socket.SOCK_STREAM, 0)
forbidden("a crypto socket", socket.socket, 38, socket.SOCK_SEQPACKET, 0)


def bound():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")


def link():
    run("ip", "link", "add", "trybr0", "type", "bridge")
    run("ip", "link", "del", "trybr0")


def data():
    write("/var/lib/lodge/try")
    os.remove("/var/lib/lodge/try")


def backup():
    write("/var/backups/lodge/try")
    os.remove("/var/backups/lodge/try")


def leases():
    write("/var/lib/libvirt/dnsmasq/try")
    os.remove("/var/lib/libvirt/dnsmasq/try")


def others_console():
    read("/var/log/cloud-init-output.log")  # another's, and not for everybody: as a console log of libvirt


needed("write its data", data)
needed("write backups", backup)
needed("write fixed leases", leases)
needed("a socket on a bridge", bound)
needed("change a bridge", link)
needed("read what libvirt owns", others_console)
needed("see other processes", read, "/proc/1/cmdline")
print("tried", tried)
