# shellcheck shell=bash
# lodged as a service of systemd. Sourced.
#
#   service_here             systemd runs this machine
#   service_programs DIR     copies lodged and lodge from DIR to /usr/local/bin
#   service_unit             puts the unit in its place and has systemd read it
#   service_start SOCKET     (re)starts it; returns when it answers
#   service_stop             ends it in order, where it runs

service_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
service_file=/etc/systemd/system/lodged.service

service_here() { [ -d /run/systemd/system ]; }

# A program that runs is not written into: install makes a new file.
service_programs() {
	local name
	for name in lodged lodge; do
		cmp -s "$1/$name" "/usr/local/bin/$name" || install -m 0755 "$1/$name" "/usr/local/bin/$name"
	done
}

service_unit() {
	cmp -s "$service_dir/lodged.service" "$service_file" || install -m 0644 "$service_dir/lodged.service" "$service_file"
	systemctl daemon-reload
}

service_start() {
	# Long, for a host without KVM that starts its libvirtd at the same time.
	local end=$((SECONDS + 120))
	systemctl enable --quiet lodged.service
	systemctl restart lodged.service
	until curl -fsS -o /dev/null --max-time 2 --unix-socket "$1" http://lodge/readyz 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || {
			echo "lodged did not start; see: journalctl -u lodged" >&2
			return 1
		}
		sleep 0.1
	done
	echo "lodged answers on $1 (systemctl status lodged)"
}

service_stop() {
	service_here || return 0
	! systemctl --quiet is-active lodged.service || systemctl stop lodged.service
}
