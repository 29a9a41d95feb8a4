# shellcheck shell=bash
# The user that lodged runs as, and what has to belong to it. Sourced.
#
#   account_up               makes the user and group lodge, in the groups libvirt and kvm
#   account_dirs DATA_DIR    gives DATA_DIR and the socket's folder to it; what is libvirt's stays

account=lodge

account_say() { echo "account: $*" >&2; }

account_up() {
	# Members of the group may use the operator's socket without being root.
	getent group "$account" >/dev/null || groupadd --system "$account"
	getent passwd "$account" >/dev/null ||
		useradd --system --gid "$account" --home-dir /var/lib/lodge --no-create-home --shell /usr/sbin/nologin "$account"
	local group
	# libvirt's socket is its group's; kvm is to see whether /dev/kvm works.
	for group in libvirt kvm; do
		getent group "$group" >/dev/null || continue
		id -nG "$account" | tr ' ' '\n' | grep -qx "$group" || usermod --append --groups "$group" "$account"
	done
}

# Guests run on meanwhile: their disks belong to QEMU's user for as long, and libvirt gives them back to whom
# they were root's before. Only what is root's changes hands; mode and place stay.
account_dirs() {
	local data=$1
	install -d -o "$account" -g "$account" -m 0711 "$data"
	find "$data" -xdev -user root -not -path "$data/quickstart*" -execdir chown --no-dereference "$account:$account" {} +
	# dnsmasq may read there, by its AppArmor profile, and lodged adds its fixed leases. Sticky, so
	# that it changes nobody else's files.
	install -d -o root -g "$account" -m 1775 /var/lib/libvirt/dnsmasq
	[ "$data" != /var/lib/lodge ] || {
		install -d -o "$account" -g "$account" -m 0755 /run/lodge
		# The one folder for backups that the unit lets lodged write.
		install -d -o "$account" -g "$account" -m 0700 /var/backups/lodge
	}
	local mine=/var/lib/libvirt/dnsmasq
	find "$mine" -maxdepth 1 -name 'lodge-*.ports*' -user root -execdir chown --no-dereference "$account:$account" {} +
}
