# shellcheck shell=bash
# Debian packages for an image. Sourced by build-image.

readonly suite=bookworm

# debian_sources FILE prints the apt sources to build from: FILE's, or those of this machine that offer
# Debian 12, so that a mirror or an archive of a certain day that the operator chose counts here too.
debian_sources() {
	local file found=''
	if [ -n "$1" ]; then
		cat "$1"
		return
	fi
	for file in /etc/apt/sources.list.d/*.sources; do
		[ ! -r "$file" ] || found+=$(debian_stanzas "$file")$'\n'
	done
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ ! -r "$file" ] || found+=$(debian_lines "$file")$'\n'
	done
	found=$(sed '/./,$!d' <<<"$found" | cat -s)
	# bookworm itself must be among them, the updates alone make no system.
	grep -qE "(^Suites:|[[:space:]])[[:space:]]*$suite([[:space:]]|/|$)" <<<"$found" ||
		die "apt on this machine has no sources of Debian 12 ($suite); name a file that has with --sources"
	echo "$found"
}

# debian_stanzas FILE prints the stanzas of Debian 12 in the deb822 format, without comments and sources.
debian_stanzas() {
	sed '/^#/d' "$1" | awk -v RS= -v suite="$suite" '
		$0 !~ "(^|\n)Suites:[^\n]*[ \t]" suite || /(^|\n)Enabled:[ \t]*no/ { next }
		$0 !~ /(^|\n)Types:[^\n]*[ \t]deb([ \t]|\n|$)/ { next }
		$0 !~ /(^|\n)URIs:[^\n]*\/debian/ { next }
		{ sub(/(^|\n)Types:[^\n]*/, "\nTypes: deb"); sub(/^\n/, ""); print $0 "\n" }'
}

# debian_lines FILE prints the same from the format of a line each, as stanzas.
debian_lines() {
	sed -nE "s/^[[:space:]]*deb[[:space:]]+(\[([^]]*)\][[:space:]]+)?([^[:space:]]*\/debian[^[:space:]]*)[[:space:]]+($suite[^[:space:]]*)[[:space:]]+([^#]*).*/\2|\3|\4|\5/p" "$1" |
		while IFS='|' read -r options uri suites components; do
			printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\n' "$uri" "$suites" "$components"
			if [[ " $options " =~ [[:space:]]signed-by=([^[:space:]]+) ]]; then
				echo "Signed-By: ${BASH_REMATCH[1]}"
			fi
			echo
		done
}

# bootstrap VARIANT DIR PACKAGE... [-- MMDEBSTRAP-OPTION...] makes a root of the packages in DIR.
# VARIANT extract only unpacks them.
bootstrap() {
	local variant=$1 dir=$2 include=() log=$work/bootstrap.log
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		include+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	echo "$debian_sources" >"$work/debian.sources"
	say "unpacking Debian packages"
	run mmdebstrap --mode=root --variant="$variant" --architectures=amd64 --format=directory \
		--include="$(IFS=,; echo "${include[*]}")" --aptopt='Acquire::Retries "3"' \
		"$@" "$suite" "$dir" "$work/debian.sources" >"$log" 2>&1 || {
		tail -n 25 "$log" >&2
		die "mmdebstrap failed, its last words are above"
	}
}
