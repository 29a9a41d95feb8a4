package storage

import (
	"bytes"
	"errors"
	"io"

	"lodge/cloud"
)

// A format that lodge does not take, known by bytes at a place.
type magic struct {
	at    int64 // from the start; negative: from the end
	bytes string
	name  string // "a VMDK disk"
	hint  string // what to do about it
}

const (
	hintConvert = "convert it with: qemu-img convert -O qcow2"
	hintUnpack  = "unpack it first"
)

// magics come from the formats' specifications and from the probes in QEMU's
// block/*.c. Compressed files and web pages are here because they are what
// people give by mistake.
var magics = []magic{
	{0, "QFI\xfb", "a qcow disk", hintConvert},
	{0, "KDMV", "a VMDK disk", hintConvert},
	{0, "COWD", "a VMDK disk", hintConvert},
	{0, "# Disk DescriptorFile", "a VMDK descriptor", hintConvert},
	{0, "conectix", "a VHD disk", hintConvert},
	{0, "cxsparse", "a VHD disk", hintConvert},
	{-512, "conectix", "a VHD disk", hintConvert},
	{-511, "conectix", "a VHD disk", hintConvert},
	{0, "vhdxfile", "a VHDX disk", hintConvert},
	{0, "<<< ", "a VDI disk", hintConvert},
	{0x40, "\x7f\x10\xda\xbe", "a VDI disk", hintConvert},
	{0, "QED\x00", "a QED disk", hintConvert},
	{0, "WithoutFreeSpace", "a Parallels disk", hintConvert},
	{0, "WithouFreSpacExt", "a Parallels disk", hintConvert},
	{0, "Bochs Virtual HD Image", "a Bochs disk", hintConvert},
	{-512, "koly", "an Apple DMG", hintConvert},
	{0, "LUKS\xba\xbe", "an encrypted LUKS volume", "decrypt it first"},
	{0, "\x1f\x8b", "a gzip file", hintUnpack},
	{0, "\xfd7zXZ\x00", "an xz file", hintUnpack},
	{0, "BZh", "a bzip2 file", hintUnpack},
	{0, "\x28\xb5\x2f\xfd", "a zstd file", hintUnpack},
	{0, "\x04\x22\x4d\x18", "an lz4 file", hintUnpack},
	{0, "LZIP", "an lzip file", hintUnpack},
	{0, "PK\x03\x04", "a zip archive", hintUnpack},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive", hintUnpack},
	{0, "Rar!", "a RAR archive", hintUnpack},
	{257, "ustar", "a tar or OVA archive", hintUnpack},
	{0x8001, "CD001", "an ISO 9660 image, such as an installer's", "take the distribution's cloud image instead"},
	{0, "hsqs", "a squashfs file system", "make it a disk with a boot loader first"},
	{0, "\x7fELF", "a program", "check the link"},
	{0, "-----BEGIN ", "a text file", "check the link"},
	{0, "<!DOCTYPE", "a web page", "check the link"},
	{0, "<!doctype", "a web page", "check the link"},
	{0, "<html", "a web page", "check the link"},
	{0, "<HTML", "a web page", "check the link"},
	{0, "<?xml", "an XML document", "check the link"},
}

// sniffBytes is how much of the beginning decides the format.
const sniffBytes = 0x8001 + 5

// CheckRaw says whether a file may become a raw image: it begins as a partitioned
// disk (MBR, or the protective MBR of a GPT) and has the mark of no other format.
// size is the file's length in bytes, -1 when its end has not arrived yet.
// Returns CodeImageFormat with the name of what it looks like.
func CheckRaw(r io.ReaderAt, size int64) error {
	head := make([]byte, sniffBytes)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	var tail []byte
	if size >= 512 {
		tail = make([]byte, 512)
		if _, err := r.ReadAt(tail, size-512); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	for _, m := range magics {
		part, at := head, m.at
		if at < 0 {
			part, at = tail, at+512
		}
		if at <= int64(len(part)) && bytes.HasPrefix(part[at:], []byte(m.bytes)) {
			return cloud.Errorf(cloud.CodeImageFormat, "The file is %s; lodge takes raw and qcow2 disks only: %s.", m.name, m.hint)
		}
	}
	switch {
	case len(head) < 512 || head[510] != 0x55 || head[511] != 0xaa:
		return cloud.Errorf(cloud.CodeImageFormat, "The file is no disk that lodge knows: it is not a qcow2, and without a partition table it is not a raw disk.")
	case size >= 0 && size%512 != 0:
		return cloud.Errorf(cloud.CodeImageFormat, "The raw disk has %d bytes, which are no whole sectors; it was probably cut off.", size)
	}
	return nil
}
