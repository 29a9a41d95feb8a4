# shellcheck shell=bash
# The tiny image: Debian's cloud kernel, busybox and dropbear, all in an initramfs on the ESP.
# Sourced by build-image. What the guest does is in tiny/rc.

# Kernel modules in the order in which rc loads them, those that they need come along: at first what the
# seed and the network take, then one of two file systems, and the rest while DHCP is under way.
tiny_modules_first="virtio_pci virtio_blk virtio_net"
tiny_modules_iso9660="isofs"
tiny_modules_vfat="nls_ascii nls_utf8 nls_cp437 vfat"
tiny_modules_late="button evdev virtio-rng virtio_balloon virtio_console"

tiny_cmdline="console=tty0 console=ttyS0,115200 quiet panic=5"
# 0.4 s of a boot without KVM: nothing here is worth an attack, and nobody has a PS/2 mouse.
tiny_cmdline+=" mitigations=off nokaslr audit=0 lsm=capability rcupdate.rcu_expedited=1 cryptomgr.notests"
tiny_cmdline+=" tsc=reliable no_timer_check i8042.nokbd i8042.noaux"
# 0.5 s more, found with initcall_debug: a self-test, tracing, the cubic TCP (reno remains), hibernation.
tiny_cmdline+=" initcall_blacklist=crypto_kdf108_init,init_kprobe_trace,init_trace_printk_function_export,cubictcp_register,snapshot_device_init"

build_tiny() {
	local out=$1 root=$work/packages init=$work/initramfs image=$work/disk.raw
	bootstrap extract "$root" linux-image-cloud-amd64 busybox-static dropbear-bin
	tiny_tree "$root" "$init"
	say "packing the initramfs"
	(cd "$init" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null --quiet --reproducible -o -H newc -R 0:0) |
		zstd -q -15 >"$work/initrd"

	local esp_mib=$((($(stat -c %s "$root"/boot/vmlinuz-* "$work/initrd" | paste -sd+) + 4 * mib) / mib))
	[ "$esp_mib" -ge 16 ] || esp_mib=16
	truncate -s $((esp_start_mib + esp_mib + 1))M "$image"
	partition "$image" "$esp_mib"
	esp "$image" "$esp_mib"
	esp_put "$image" "$(echo "$root"/boot/vmlinuz-*)" /vmlinuz
	esp_put "$image" "$work/initrd" /initrd

	say "making it bootable"
	cat >"$work/syslinux.cfg" <<-CFG
		DEFAULT tiny
		PROMPT 0
		LABEL tiny
		KERNEL /vmlinuz
		INITRD /initrd
		APPEND $tiny_cmdline
	CFG
	esp_put "$image" "$work/syslinux.cfg" /syslinux.cfg
	syslinux_bios "$image"
	# GRUB runs this before its command line exists, so there is no menu to wait for.
	cat >"$work/grub-early.cfg" <<-CFG
		search.file /initrd root
		linux /vmlinuz $tiny_cmdline
		initrd /initrd
		boot
	CFG
	grub_uefi "$image" "$work/grub-early.cfg" search_fs_file linux boot
	say "writing the qcow2"
	to_qcow2 "$image" "$out"
}

# tiny_tree PACKAGES TREE makes the root that the initramfs holds.
tiny_tree() {
	local from=$1 to=$2 version lib list names m f
	version=$(ls "$from/lib/modules")
	mkdir -p "$to"/{bin,sbin,lib64,lib/x86_64-linux-gnu,proc,sys,dev,run,tmp,root,mnt,seed,lib/modules,usr/bin,usr/sbin,var/log,etc/dropbear}
	chmod 700 "$to/root"
	cp -r "$image_dir/tiny/." "$to/etc/"
	chmod 755 "$to"/etc/{rc,dhcp,answer,acpi/PWRF/00000080}

	# The static one: scripts start many processes, and without KVM the dynamic one
	# made a boot a second longer.
	cp "$from/bin/busybox" "$to/bin/busybox"
	ln -s bin/busybox "$to/init"
	"$to/bin/busybox" --list | while read -r f; do
		[ "$f" = busybox ] || ln -s busybox "$to/bin/$f"
	done
	cp "$from/usr/sbin/dropbear" "$from/usr/bin/dropbearkey" "$to/bin/"

	cp "$from/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$to/lib64/"
	for f in usr/sbin/dropbear usr/bin/dropbearkey; do
		libraries "$from" "$f"
	done | sort -u | while read -r lib; do cp -L "$lib" "$to/lib/x86_64-linux-gnu/"; done

	depmod -b "$from" "$version"
	for list in first iso9660 vfat late; do
		names=tiny_modules_$list
		tiny_module_files "$from" "$version" "${!names}" | while read -r f; do
			m=$to/lib/modules/$(basename "$f")
			[ -e "$m" ] || unsigned "$f" >"$m"
			basename "$f"
		done >"$to/lib/modules/$list"
	done
}

# tiny_module_files PACKAGES VERSION NAMES prints the files of the modules and, before them, of those they need.
tiny_module_files() {
	local m
	for m in $3; do
		modprobe -d "$1" -S "$2" -D --ignore-install "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# unsigned FILE prints a module without its signature, so that the kernel spends nothing on checking it.
# The length of the signature is a big-endian number before the 28 bytes of the closing words.
unsigned() {
	local size length
	size=$(stat -c %s "$1")
	if [ "$(tail -c 28 "$1" | tr -d '\n')" = "~Module signature appended~" ]; then
		length=$((16#$(tail -c 32 "$1" | head -c 4 | od -An -tx1 | tr -d ' ')))
		size=$((size - 28 - 12 - length))
	fi
	head -c "$size" "$1"
}

# libraries PACKAGES PROGRAM prints the unpacked packages' libraries that the program loads.
libraries() {
	"$1/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$1/lib/x86_64-linux-gnu:$1/usr/lib/x86_64-linux-gnu" \
		--list "$1/$2" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
}
