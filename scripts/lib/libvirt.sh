# shellcheck shell=bash
# Makes libvirt answer on this machine. Sourced, by scripts that set -euo pipefail.
#
#   libvirt_up     starts libvirt unless it answers already
#   libvirt_down   ends what libvirt_up started by hand, and nothing else

# The pid files of what was started by hand, and its output.
libvirt_dir=${LODGE_LIBVIRT_DIR:-/run/lodge-libvirt}
libvirt_deadline=60

libvirt_say() { echo "libvirt: $*" >&2; }

libvirt_answers() { timeout 20 virsh -q -c qemu:///system uri >/dev/null 2>&1; }

# libvirt_up returns when libvirt answers, or 1 with a sentence. Running it twice, also at the same time, is fine.
libvirt_up() {
	[ "$(id -u)" = 0 ] || {
		libvirt_say "starting it needs root"
		return 1
	}
	mkdir -p "$libvirt_dir"
	(
		flock 9
		libvirt_cure_kvm
		if libvirt_answers; then
			exit 0
		elif [ -d /run/systemd/system ]; then
			libvirt_up_systemd
		else
			libvirt_up_by_hand
		fi
	) 9>"$libvirt_dir/lock"
}

# Where udev did not do it, /dev/kvm is root's alone. libvirt may then open it and its guests may not, and
# it throws away what it knows of QEMU on every call: 10 s for a define.
libvirt_cure_kvm() {
	[ -c /dev/kvm ] && getent group kvm >/dev/null || return 0
	local mode group
	read -r mode group < <(stat -c '%a %G' /dev/kvm)
	# Good is: open to everybody, or to the group kvm.
	(((8#$mode & 8#006) == 8#006)) && return 0
	[ "$group" = kvm ] && (((8#$mode & 8#060) == 8#060)) && return 0
	if chgrp kvm /dev/kvm && chmod 660 /dev/kvm; then
		libvirt_say "/dev/kvm was $group's with mode $mode; it is the group kvm's with mode 660 now"
	else
		libvirt_say "/dev/kvm is $group's with mode $mode and cannot be changed; libvirt will be slow"
	fi
}

libvirt_up_systemd() {
	local daemon sockets=()
	if systemctl cat libvirtd.service >/dev/null 2>&1; then
		# It takes its sockets and virtlogd with it.
		systemctl enable --now libvirtd.service >&2 || true
	else
		# Newer distributions have a daemon for each driver, started by its socket.
		for daemon in virtlogd virtlockd virtqemud virtnetworkd virtstoraged virtnodedevd virtnwfilterd virtsecretd virtinterfaced; do
			systemctl cat "$daemon.socket" >/dev/null 2>&1 && sockets+=("$daemon.socket")
		done
		[ ${#sockets[@]} -gt 0 ] || {
			libvirt_say "systemd knows neither libvirtd nor virtqemud; is libvirt installed?"
			return 1
		}
		systemctl enable --now "${sockets[@]}" >&2 || true
	fi
	libvirt_wait true && return
	libvirt_say "no answer from qemu:///system after $libvirt_deadline s; see: journalctl -b -u libvirtd -u virtqemud"
	return 1
}

libvirt_up_by_hand() {
	local tool
	for tool in libvirtd virtlogd tini virsh setsid; do
		command -v "$tool" >/dev/null || {
			libvirt_say "$tool is missing"
			return 1
		}
	done
	mkdir -p /run/libvirt /run/lock
	libvirt_alive virtlogd virtlogd || libvirt_spawn virtlogd virtlogd
	# Guests leave libvirtd's process tree, and a first process that does not reap them leaves zombies,
	# for which libvirtd waits 10 s and more. tini -s takes them in.
	local conf=()
	mapfile -t conf < <(libvirt_conf_without_bus)
	libvirt_alive libvirtd tini || libvirt_spawn libvirtd tini -s -- libvirtd "${conf[@]}"
	libvirt_wait libvirt_alive libvirtd tini && return
	libvirt_say "no answer from qemu:///system; the end of $libvirt_dir/libvirtd.log:"
	tail -n 20 "$libvirt_dir/virtlogd.log" "$libvirt_dir/libvirtd.log" >&2 || true
	return 1
}

# libvirt_conf_without_bus prints libvirtd's arguments for where polkit cannot be asked who may come in,
# for there is no system bus: the group libvirt may then, as Debian's rule for polkit has it. Where
# somebody has written down who may, that holds.
libvirt_conf_without_bus() {
	local etc=/etc/libvirt/libvirtd.conf
	[ ! -S /run/dbus/system_bus_socket ] || return 0
	! grep -qE '^[[:space:]]*(auth_unix_rw|unix_sock_rw_perms|unix_sock_group)[[:space:]]*=' "$etc" 2>/dev/null || return 0
	{
		cat "$etc" 2>/dev/null || true
		printf '\n%s\n' 'unix_sock_group = "libvirt"' 'unix_sock_rw_perms = "0770"' 'auth_unix_ro = "none"' 'auth_unix_rw = "none"'
	} >"$libvirt_dir/libvirtd.conf"
	printf '%s\n' --config "$libvirt_dir/libvirtd.conf"
}

# libvirt_spawn NAME COMMAND... starts a daemon that outlives the caller and holds none of its files:
# not its stdout, for which somebody may be waiting, nor the lock.
libvirt_spawn() {
	local name=$1 pidfile=$libvirt_dir/$1.pid
	shift
	rm -f "$pidfile"
	# shellcheck disable=SC2016 # expands in the new shell
	setsid bash -c '
		echo $$ >"$0"
		for fd in /proc/$$/fd/*; do
			fd=${fd##*/}
			[ "$fd" -le 2 ] || eval "exec $fd>&-"
		done
		cd / && exec "$@"
	' "$pidfile" "$@" </dev/null >>"$libvirt_dir/$name.log" 2>&1 &
	# The pid file is not there at once, and the process is a bash first.
	local end=$((SECONDS + 10))
	until libvirt_alive "$name" "$1" || [ "$SECONDS" -ge "$end" ]; do
		[ ! -s "$pidfile" ] || kill -0 "$(<"$pidfile")" 2>/dev/null || return 0
		sleep 0.02
	done
}

# libvirt_alive NAME COMM: the process of NAME's pid file is there, is no zombie, and is called COMM,
# because pids are used again.
libvirt_alive() {
	local pid comm state
	[ -s "$libvirt_dir/$1.pid" ] || return 1
	pid=$(<"$libvirt_dir/$1.pid")
	read -r state comm < <(ps -o state=,comm= -p "$pid") || return 1
	[ "$state" != Z ] && [ "$comm" = "$2" ]
}

# libvirt_wait CHECK... waits for an answer, at most until the deadline or until CHECK fails.
libvirt_wait() {
	local end=$((SECONDS + libvirt_deadline))
	until libvirt_answers; do
		"$@" && [ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# Guests go on running, as with any stop of libvirtd.
libvirt_down() {
	[ -d "$libvirt_dir" ] || return 0
	(
		flock 9
		# tini hands the signal on, and ends with libvirtd.
		libvirt_end libvirtd tini
		libvirt_end virtlogd virtlogd
	) 9>"$libvirt_dir/lock"
}

# libvirt_end NAME COMM
libvirt_end() {
	local end=$((SECONDS + 30))
	if libvirt_alive "$1" "$2"; then
		kill -TERM "$(<"$libvirt_dir/$1.pid")"
		while libvirt_alive "$1" "$2"; do
			[ "$SECONDS" -lt "$end" ] || {
				libvirt_say "$1 does not end; its pid is in $libvirt_dir/$1.pid"
				return 1
			}
			sleep 0.05
		done
	fi
	rm -f "$libvirt_dir/$1.pid"
}
