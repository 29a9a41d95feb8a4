# shellcheck shell=bash
# What lodge needs of the distribution: packages and Go. Sourced, by scripts that set -euo pipefail.
#
#   need_packages PKG...   installs those that are missing
#   host_packages          prints what a lodge host and its build need, one a line
#   need_go [MIN]          makes `go` a Go of version MIN (default: go.mod's) or newer

packages_say() { echo "packages: $*" >&2; }

# The oldest Go that can fetch a newer toolchain by itself.
go_self_updating=1.21

host_packages() {
	# libvirt up to 10.3 needs iptables for its NAT networks, later ones nft.
	# gcc and libc6-dev are for the SQLite driver, procps and util-linux for these scripts.
	printf '%s\n' \
		libvirt-daemon-system libvirt-clients \
		qemu-system-x86 qemu-utils ovmf \
		dnsmasq-base iproute2 iptables nftables \
		tini procps util-linux \
		gcc libc6-dev make git \
		ca-certificates curl openssh-client
}

need_packages() {
	local pkg state missing=()
	for pkg in "$@"; do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$pkg" 2>/dev/null) || state=
		[ "$state" = installed ] || missing+=("$pkg")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	packages_can_install "${missing[@]}" || return 1
	packages_say "installing ${missing[*]}"
	packages_lists_there || packages_update || true
	packages_install "${missing[@]}" && return
	# Most often the lists are old and name files that the mirror has replaced since.
	packages_say "that failed; once more with fresh package lists"
	packages_update || true
	packages_install "${missing[@]}" && return
	packages_say "cannot install ${missing[*]}; apt's words are above"
	return 1
}

# packages_can_install PKG... says what is in the way of installing them.
packages_can_install() {
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		packages_say "$(packages_system) has no apt; install its equivalents of: $*"
		return 1
	fi
	if [ "$(id -u)" != 0 ]; then
		packages_say "missing: $*; run as root, or: sudo apt-get install --no-install-recommends $*"
		return 1
	fi
}

packages_system() {
	# shellcheck disable=SC1091 # a file of the machine
	(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-this system}") || echo "this system"
}

packages_lists_there() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }

packages_update() {
	local try
	# apt waits for dpkg's lock by itself, but not for the lock of the lists.
	for try in 1 2 3 4 5 6; do
		[ "$try" = 1 ] || sleep 5
		packages_apt update && return
	done
	packages_say "apt-get update failed"
	return 1
}

packages_install() { packages_apt install --yes --no-install-recommends "$@"; }

# Sourcing scripts may have a terminal on stdin, from which dpkg would ask about changed config files.
packages_apt() {
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -qq \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
		"$@" </dev/null >&2
}

# at_least HAVE WANT compares version numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

need_go() {
	local min=${1:-} dir have best='' best_have=0 root
	if [ -z "$min" ]; then
		root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
		min=$(awk '$1 == "go" { print $2; exit }' "$root/go.mod")
	fi

	for dir in "$(dirname "$(command -v go || echo /)")" /usr/local/go/bin /usr/lib/go-*/bin; do
		have=$(go_version "$dir") || continue
		if at_least "$have" "$min"; then
			go_use "$dir"
			return
		fi
		if at_least "$have" "$best_have"; then
			best=$dir best_have=$have
		fi
	done

	# Debian and Ubuntu name them golang-1.N-go, side by side; backports too, where they are configured.
	local minor offered=''
	if command -v apt-cache >/dev/null && [ "$(id -u)" = 0 ]; then
		packages_lists_there || packages_update || true
		minor=$(apt-cache search --names-only '^golang-1\.[0-9]+-go$' | sed -E 's/^golang-1\.([0-9]+)-go.*/\1/' | sort -n | tail -n 1)
		[ -z "$minor" ] || offered=1.$minor
	fi
	# A package promises its minor version only, so golang-1.24-go may be too old for 1.24.9.
	if [ -n "$offered" ] && at_least "$offered" "$(go_minor "$min")" && need_packages "golang-$offered-go"; then
		dir=/usr/lib/go-$offered/bin
		have=$(go_version "$dir") || have=0
		if at_least "$have" "$min"; then
			go_use "$dir"
			return
		fi
		best=$dir best_have=$have
	fi

	if ! at_least "$best_have" "$go_self_updating" && [ -n "$offered" ] && at_least "$offered" "$go_self_updating"; then
		need_packages "golang-$offered-go" && best=/usr/lib/go-$offered/bin best_have=$offered
	fi
	if at_least "$best_have" "$go_self_updating"; then
		packages_say "Go $best_have is here and lodge needs $min: go fetches that toolchain by itself"
		go_use "$best"
		export GOTOOLCHAIN=auto # Debian's default is local
		if (cd / && GOTOOLCHAIN=go$(go_release "$min") go version >&2); then
			return
		fi
		packages_say "fetching the toolchain failed; is there a way to the Go module proxy (GOPROXY)?"
	fi

	packages_say "lodge needs Go $min or newer, and $(packages_system) offers ${offered:-none}${best:+, $best has $best_have};" \
		"unpack a release of the Go project into /usr/local/go, or enable your distribution's backports, and run this again"
	return 1
}

# go_version DIR prints the version of DIR/go as it is, without a switch to another toolchain.
go_version() {
	[ -x "$1/go" ] || return 1
	(cd / && GOTOOLCHAIN=local "$1/go" env GOVERSION) | sed -E 's/^go//; s/[^0-9.].*//'
}

go_minor() { echo "$1" | cut -d. -f1,2; }

# go_release VERSION: since 1.21 the first release of 1.N is named 1.N.0.
go_release() {
	case $1 in
	*.*.*) echo "$1" ;;
	*) echo "$1.0" ;;
	esac
}

go_use() {
	case :$PATH: in
	":$1:"*) ;;
	*) PATH=$1:$PATH ;;
	esac
	export PATH
}
