# shellcheck shell=bash
# Starts and stops a lodged in the background where no service manager does. Sourced.
#
#   daemon_paths DATA_DIR     names its pid file and log
#   daemon_start BIN FLAG...  starts it unless this very binary runs already; returns when it answers;
#                             through the program in daemon_as, where that is set
#   daemon_stop               ends it in order

daemon_paths() {
	LODGE_DAEMON_PID=$1/lodged.pid
	LODGE_DAEMON_LOG=$1/lodged.log
}

# daemon_alive: the pid file's process is a lodged; pids are used again.
daemon_alive() {
	local pid
	[ -s "$LODGE_DAEMON_PID" ] || return 1
	pid=$(<"$LODGE_DAEMON_PID")
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = lodged ]
}

daemon_start() {
	local bin=$1 socket=
	shift
	if daemon_alive; then
		# A rebuilt binary shows as deleted: the old process goes, its guests run on.
		if [ "$(readlink "/proc/$(<"$LODGE_DAEMON_PID")/exe")" = "$bin" ]; then
			echo "lodged runs already (pid $(<"$LODGE_DAEMON_PID"))"
			return
		fi
		daemon_stop
	fi
	mkdir -p "$(dirname "$LODGE_DAEMON_LOG")"
	# The first operator's password is said in it.
	touch "$LODGE_DAEMON_LOG" && chmod 600 "$LODGE_DAEMON_LOG"
	# Nothing of the caller is kept: not its terminal, not its stdout.
	setsid ${daemon_as:+"$daemon_as"} "$bin" "$@" </dev/null >>"$LODGE_DAEMON_LOG" 2>&1 &
	echo $! >"$LODGE_DAEMON_PID"
	while [ $# -gt 0 ]; do
		[ "$1" != --socket ] || socket=$2
		shift
	done
	local end=$((SECONDS + 30))
	until curl -fsS -o /dev/null --max-time 2 --unix-socket "$socket" http://lodge/readyz 2>/dev/null; do
		if ! kill -0 "$(<"$LODGE_DAEMON_PID")" 2>/dev/null || [ "$SECONDS" -ge "$end" ]; then
			echo "lodged did not start; the end of $LODGE_DAEMON_LOG:" >&2
			tail -n 15 "$LODGE_DAEMON_LOG" >&2
			return 1
		fi
		sleep 0.1
	done
	echo "lodged answers on $socket (pid $(<"$LODGE_DAEMON_PID"))"
}

daemon_stop() {
	local pid end=$((SECONDS + 40))
	daemon_alive || return 0
	pid=$(<"$LODGE_DAEMON_PID")
	kill -TERM "$pid"
	while kill -0 "$pid" 2>/dev/null && daemon_alive; do
		[ "$SECONDS" -lt "$end" ] || { echo "lodged (pid $pid) does not end" >&2; return 1; }
		sleep 0.1
	done
	rm -f "$LODGE_DAEMON_PID"
}
