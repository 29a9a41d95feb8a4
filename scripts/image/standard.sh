# shellcheck shell=bash
# The standard image: Debian 12 as its cloud images are, with what slows a boot down and helps nobody left out.
# Sourced by build-image. The files that the guest gets are in standard/, as they lie in its root.

standard_packages=(
	linux-image-cloud-amd64 initramfs-tools zstd
	systemd-sysv dbus libpam-systemd udev kmod
	systemd-resolved libnss-resolve libnss-myhostname systemd-timesyncd
	cloud-init cloud-guest-utils fdisk e2fsprogs
	openssh-server sudo qemu-guest-agent
	grub2-common                            # update-grub, which a new kernel calls
	ca-certificates gpg locales tzdata
	iproute2 iputils-ping netbase procps
	curl less nano vim-tiny
)

build_standard() {
	local out=$1 root=$work/root image=$work/disk.raw esp_mib=16
	local root_start=$((esp_start_mib + esp_mib)) total_mib end_mib
	case $size in
	*G) total_mib=$((${size%G} * 1024)) ;;
	*) total_mib=${size%M} ;;
	esac

	local extra=()
	[ -z "$packages" ] || IFS=, read -ra extra <<<"$packages"
	# The files of ours are there before the packages: update-initramfs and ssh read them.
	bootstrap minbase "$root" "${standard_packages[@]}" "${extra[@]}" -- \
		--setup-hook="cp -rT '$image_dir/standard' \"\$1\"" \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-include=/usr/share/locale/locale.alias'
	say "finishing the root"
	standard_root "$root"

	end_mib=$((total_mib - 1)) # the second GPT
	[ "$(du -sm "$root" | cut -f 1)" -lt $(((end_mib - root_start) * 9 / 10)) ] ||
		die "the system does not fit into $size; give a larger --size"
	say "writing the disk"
	truncate -s "${total_mib}M" "$image"
	partition "$image" "$esp_mib" "$root_start"
	esp "$image" "$esp_mib"
	standard_ext4 "$root" "$image" "$root_start" $((end_mib - root_start))

	cat >"$work/grub-early.cfg" <<-CFG
		search.fs_uuid $(uuid_of ext4) root
		set prefix=(\$root)/boot/grub
		normal
	CFG
	# All that update-grub's configuration may insmod is built in, as there are no module files in the guest.
	local modules=(ext2 search search_fs_uuid search_fs_file search_label normal configfile linux echo test
		serial terminal gzio all_video gfxterm font sleep loadenv minicmd ls cat reboot halt probe regexp true)
	grub_bios "$image" "$work/grub-early.cfg" "${modules[@]}"
	grub_uefi "$image" "$work/grub-early.cfg" "${modules[@]}" efi_gop
	say "writing the qcow2"
	to_qcow2 "$image" "$out"
}

# standard_root ROOT makes a fresh installation into an image: nothing in it is of one machine alone.
standard_root() {
	local root=$1 unit
	rm -f "$root"/etc/ssh/ssh_host_*_key*
	: >"$root/etc/machine-id"
	ln -sf /etc/machine-id "$root/var/lib/dbus/machine-id"
	rm -f "$root/etc/hostname" "$root/var/lib/systemd/random-seed"
	echo localhost >"$root/etc/hostname"
	rm -f "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/apt/apt.conf.d/99mmdebstrap"
	rm -rf "${root:?}"/var/log/{apt,dpkg.log,alternatives.log,bootstrap.log} "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
	rm -rf "${root:?}"/boot/System.map-* "$root"/usr/share/doc/*/{changelog*,NEWS*}

	# What a server of a few hours does not need at each boot; systemctl enable brings any of it back.
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		e2scrub_reap.service grub-common.service grub-initrd-fallback.service systemd-pstore.service; do
		[ ! -e "$root/lib/systemd/system/$unit" ] || in_root "$root" systemctl --quiet disable "$unit"
	done
	in_root "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

	cat >"$root/etc/fstab" <<-FSTAB
		UUID=$(uuid_of ext4) / ext4 rw,discard,errors=remount-ro 0 1
		LABEL=LODGEBOOT /boot/efi vfat umask=0077,noauto 0 0
	FSTAB
	mkdir -p "$root/boot/efi" "$root/boot/grub"
	# The first one by hand, as update-grub wants to see the real disk. The links follow the newest kernel.
	cat >"$root/boot/grub/grub.cfg" <<-CFG
		set timeout=0
		serial --unit=0 --speed=115200
		terminal_input console serial
		terminal_output console serial
		menuentry Debian {
			linux /vmlinuz root=UUID=$(uuid_of ext4) ro $(. "$root/etc/default/grub.d/50-cloud.cfg" && echo "$GRUB_CMDLINE_LINUX")
			initrd /initrd.img
		}
	CFG
}

in_root() { chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "${@:2}"; }

# standard_ext4 ROOT IMAGE START_MIB SIZE_MIB
standard_ext4() {
	# The features by name: the defaults of newer e2fsprogs are more than GRUB 2.06 can read.
	cat >"$work/mke2fs.conf" <<-'CONF'
		[defaults]
		base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
		blocksize = 4096
		inode_size = 256
		inode_ratio = 16384
		[fs_types]
		ext4 = {
			features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
		}
	CONF
	MKE2FS_CONFIG=$work/mke2fs.conf run mke2fs -q -F -t ext4 -L root -U "$(uuid_of ext4)" -m 1 -J size=64 \
		-E "offset=$(($3 * mib)),hash_seed=$(uuid_of hash),lazy_itable_init=1,lazy_journal_init=1" \
		-d "$1" "$2" "${4}M"
}
