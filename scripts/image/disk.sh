# shellcheck shell=bash
# Disks made in plain files: a GPT, an ESP, and boot loaders for UEFI and BIOS.
# No loop device, no mount, no grub-install: each part is written at its offset.
# Sourced by build-image, which provides say() and die().
#
# Both kinds have the layout of Debian's cloud images: 14 is GRUB's own for BIOS, 15 is the ESP, and
# 1, where there is one, comes last, so that it can grow with the disk.

readonly mib=1048576
readonly bios_grub_mib=1 # 14 is [1 MiB, 2 MiB)
readonly esp_start_mib=2 # 15 follows

# The GUID of a BIOS boot partition, an ESP and an x86-64 root, of which systemd knows what it is for.
readonly type_bios=21686148-6449-6E6F-744E-656564454649
readonly type_esp=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
readonly type_root=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709

# uuid_of WORD prints a UUID that depends on the build's key and WORD only.
uuid_of() {
	local h
	h=$(printf '%s %s' "$build_key" "$1" | sha256sum)
	printf '%s-%s-4%s-8%s-%s\n' "${h:0:8}" "${h:8:4}" "${h:13:3}" "${h:17:3}" "${h:20:12}"
}

# partition IMAGE ESP_MIB [ROOT_START_MIB] writes the GPT. Without a root the ESP is all there is.
partition() {
	local image=$1 esp_mib=$2 root_start=${3:-}
	{
		echo "label: gpt"
		echo "label-id: $(uuid_of disk)"
		echo "first-lba: 34"
		echo "14: start=${bios_grub_mib}MiB, size=1MiB, type=$type_bios, uuid=$(uuid_of bios)"
		# The attribute is for the BIOS boot sector of SYSLINUX, which starts the partition that has it.
		echo "15: start=${esp_start_mib}MiB, size=${esp_mib}MiB, type=$type_esp, uuid=$(uuid_of esp), attrs=LegacyBIOSBootable"
		[ -z "$root_start" ] || echo "1: start=${root_start}MiB, type=$type_root, uuid=$(uuid_of root)"
	} | sfdisk --quiet --no-reread --no-tell-kernel "$image"
}

# esp IMAGE ESP_MIB makes the ESP's file system; files go in with esp_put.
esp() {
	local serial
	serial=$(uuid_of esp-serial)
	# 32 KiB clusters: the BIOS reads a kernel in few large pieces.
	mformat -i "$1@@${esp_start_mib}M" -T $(($2 * mib / 512)) -h 255 -s 63 -H $((esp_start_mib * mib / 512)) \
		-c 64 -N "${serial:0:8}" -v LODGEBOOT ::
	# mtools also writes a partition table into the file system's first sector, and GRUB's tools in the guest
	# complain of partitions within a partition.
	head -c 64 /dev/zero | poke "$1" $((esp_start_mib * mib + 446))
	mmd -i "$1@@${esp_start_mib}M" ::/EFI ::/EFI/BOOT
}

# esp_put IMAGE FILE PATH
esp_put() {
	mcopy -i "$1@@${esp_start_mib}M" "$2" "::$3"
}

# u16 and u64 print a number as bytes, little end first.
u16() { printf "\\x$(printf %02x $(($1 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))"; }
u64() { u16 $(($1 & 65535)); u16 $(($1 >> 16 & 65535)); u16 $(($1 >> 32 & 65535)); u16 0; }

# poke FILE OFFSET puts stdin there.
poke() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# grub_bios IMAGE CONFIG MODULE... makes IMAGE start under BIOS.
# It writes what grub-bios-setup would, which wants a block device and the file system it booted from.
grub_bios() {
	local image=$1 config=$2 core boot lba=$((bios_grub_mib * mib / 512))
	shift 2
	core=$work/core.img boot=$work/boot.img
	grub-mkimage -O i386-pc -p /boot/grub -c "$config" -o "$core" biosdisk part_gpt "$@"
	[ "$(stat -c %s "$core")" -le "$mib" ] || die "GRUB's core image does not fit its partition"

	# The core's first sector loads the rest: at 0x1f4 it says from where.
	u64 $((lba + 1)) | poke "$core" $((0x1f4))
	dd if="$core" of="$image" bs=512 seek="$lba" conv=notrunc status=none

	# The boot sector loads the core's first sector: at 0x5c it says from where. Two NOPs at 0x66 let it
	# trust the drive number that the BIOS gives. From 440 on the sector belongs to the partition table.
	head -c 440 /usr/lib/grub/i386-pc/boot.img >"$boot"
	u64 "$lba" | poke "$boot" $((0x5c))
	printf '\x90\x90' | poke "$boot" $((0x66))
	dd if="$boot" of="$image" conv=notrunc status=none
}

# grub_uefi IMAGE CONFIG MODULE... makes IMAGE start under UEFI, by the path for removable disks: an
# imported image has no boot entry in anybody's NVRAM.
grub_uefi() {
	local image=$1 config=$2
	shift 2
	grub-mkimage -O x86_64-efi -p /boot/grub -c "$config" -o "$work/BOOTX64.EFI" part_gpt fat "$@"
	esp_put "$image" "$work/BOOTX64.EFI" /EFI/BOOT/BOOTX64.EFI
}

# syslinux_bios IMAGE makes IMAGE start the ESP's syslinux.cfg under BIOS. It knows FAT only, and reads a
# kernel in a third of the time that GRUB takes for it.
syslinux_bios() {
	syslinux --install -t $((esp_start_mib * mib)) "$1"
	dd if=/usr/lib/syslinux/mbr/gptmbr.bin of="$1" bs=440 count=1 conv=notrunc status=none
}

# to_qcow2 RAW QCOW2
to_qcow2() {
	run qemu-img convert -f raw -O qcow2 -c -o compat=1.1 "$1" "$2"
}
