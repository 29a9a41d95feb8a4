package storage

import (
	"path/filepath"
	"strings"

	"lodge/cloud"
)

const partSuffix = ".part"

// file is what a file's name says of it.
type file struct {
	kind   cloud.DiskKind
	id     string
	format cloud.ImageFormat
	blank  bool // a volume that has no image below it
	name   string
}

// The names. A blank volume says so in its name, because an overlay whose
// making was interrupted looks like a blank one: the name of the image below is
// the last thing that is written.
func volumeFile(id string, blank bool) file {
	name := id + ".qcow2"
	if blank {
		name = id + ".blank.qcow2"
	}
	return file{cloud.DiskVolume, id, cloud.FormatQcow2, blank, name}
}

func seedFile(id string) file {
	return file{cloud.DiskSeed, id, cloud.FormatRaw, false, "seed-" + id + ".img"}
}

func imageFile(id string, f cloud.ImageFormat) file {
	return file{cloud.DiskImage, id, f, false, "image-" + id + "." + string(f)}
}

// filesOf are all names that the objects with the id may have.
func filesOf(id string) []file {
	return []file{
		volumeFile(id, false), volumeFile(id, true), seedFile(id),
		imageFile(id, cloud.FormatQcow2), imageFile(id, cloud.FormatRaw),
	}
}

// parseName tells what a file is; ok is false for what is not lodge's.
func parseName(name string) (f file, ok bool) {
	for _, try := range []struct {
		prefix, suffix string
		make           func(id string) file
	}{
		{"seed-", ".img", seedFile},
		{"image-", ".qcow2", func(id string) file { return imageFile(id, cloud.FormatQcow2) }},
		{"image-", ".raw", func(id string) file { return imageFile(id, cloud.FormatRaw) }},
		{"", ".blank.qcow2", func(id string) file { return volumeFile(id, true) }},
		{"", ".qcow2", func(id string) file { return volumeFile(id, false) }},
	} {
		id, hasPrefix := strings.CutPrefix(name, try.prefix)
		id, hasSuffix := strings.CutSuffix(id, try.suffix)
		if hasPrefix && hasSuffix && validID(id) {
			return try.make(id), true
		}
	}
	return file{}, false
}

// validID keeps everything but a UUID's text out of file names.
func validID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range id {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
			continue
		}
		if !strings.ContainsRune("0123456789abcdef", c) {
			return false
		}
	}
	return true
}

func checkID(id string) error {
	if validID(id) {
		return nil
	}
	return cloud.Errorf(cloud.CodeInternal, "The id %q is not a UUID in lower case.", id)
}

func (p *Pool) path(f file) string { return filepath.Join(p.o.Dir, f.name) }
