package hypervisor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// firmware is a UEFI build: code that all guests share and a template of the
// variables that each guest gets a copy of. Empty: the host has none.
type firmware struct {
	loader   string
	template string
}

// firmwareDirs hold the descriptors, first wins for the same file name.
// https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/firmware.json
var firmwareDirs = []string{"/etc/qemu/firmware", "/usr/share/qemu/firmware"}

// descriptor is the part of a firmware descriptor that matters here.
type descriptor struct {
	Interfaces []string `json:"interface-types"`
	Mapping    struct {
		Device     string `json:"device"`
		Mode       string `json:"mode"`
		Executable blob   `json:"executable"`
		Template   blob   `json:"nvram-template"`
	} `json:"mapping"`
	Targets []struct {
		Arch     string   `json:"architecture"`
		Machines []string `json:"machines"`
	} `json:"targets"`
	Features []string `json:"features"`
}

type blob struct {
	File   string `json:"filename"`
	Format string `json:"format"`
}

// findFirmware chooses a UEFI without Secure Boot: by the descriptors, then
// among the loaders libvirt names. The paths are written into the domain; were
// the choice left to libvirt, it would write what it resolved into the live XML
// and refuse a definition made from it.
func findFirmware(dirs, loaders []string) firmware {
	files := map[string]string{}
	for i := len(dirs) - 1; i >= 0; i-- {
		found, _ := filepath.Glob(filepath.Join(dirs[i], "*.json"))
		for _, f := range found {
			files[filepath.Base(f)] = f
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if fw, ok := readDescriptor(files[name]); ok {
			return fw
		}
	}
	return pairLoader(loaders)
}

func readDescriptor(file string) (firmware, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return firmware{}, false
	}
	var d descriptor
	if json.Unmarshal(text, &d) != nil || !d.fits() {
		return firmware{}, false
	}
	fw := firmware{d.Mapping.Executable.File, d.Mapping.Template.File}
	return fw, isFile(fw.loader) && isFile(fw.template)
}

// fits reports whether it is an x86-64 UEFI for q35 in two raw flash files that
// asks for no signature and no SMM.
func (d descriptor) fits() bool {
	m := d.Mapping
	if !slices.Contains(d.Interfaces, "uefi") || m.Device != "flash" || (m.Mode != "" && m.Mode != "split") {
		return false
	}
	if m.Executable.Format != "raw" || m.Template.Format != "raw" {
		return false
	}
	for _, f := range d.Features {
		switch f {
		case "secure-boot", "enrolled-keys", "requires-smm":
			return false
		}
	}
	for _, t := range d.Targets {
		if t.Arch != "x86_64" {
			continue
		}
		for _, pattern := range t.Machines {
			if ok, _ := filepath.Match(pattern, "pc-q35-7.2"); ok {
				return true
			}
		}
	}
	return false
}

// pairLoader finds the variables beside a plain loader: they are named alike.
func pairLoader(loaders []string) firmware {
	for _, code := range loaders {
		dir, name := filepath.Split(code)
		if !strings.Contains(name, "CODE") || strings.Contains(name, "sec") || strings.Contains(name, ".ms.") {
			continue
		}
		vars := dir + strings.Replace(name, "CODE", "VARS", 1)
		if isFile(code) && isFile(vars) {
			return firmware{code, vars}
		}
	}
	return firmware{}
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}
