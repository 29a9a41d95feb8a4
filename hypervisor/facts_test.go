package hypervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestAccelIsKVMOnlyWhereItWorks(t *testing.T) {
	for _, tt := range []struct {
		wanted string
		works  bool
		want   string
	}{
		{AccelAuto, true, AccelKVM},
		{AccelAuto, false, AccelTCG},
		{AccelKVM, false, AccelKVM}, // the operator's word
		{AccelTCG, true, AccelTCG},
	} {
		if got := chooseAccel(tt.wanted, tt.works); got != tt.want {
			t.Errorf("%s, works %v: %s, want %s", tt.wanted, tt.works, got, tt.want)
		}
	}
}

func TestVirtFlagsAreReadFromCPUInfo(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]bool{
		"flags\t\t: fpu vmx sse\n":                     true,
		"model\t: x\nflags\t: svm\n":                   true,
		"flags\t: fpu sse\nvmx flags\t: vmx preempt\n": false,
		"model name\t: vmx svm\nflags\t: fpu vmxish\n": false,
		"": false,
	} {
		file := filepath.Join(dir, "cpuinfo")
		write(t, file, text)
		if got := hasVirtFlags(file); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if hasVirtFlags(filepath.Join(dir, "none")) {
		t.Error("a file that is not there has flags")
	}
}

func TestFirmwareHasNoSecureBoot(t *testing.T) {
	admin, vendor, blobs := t.TempDir(), t.TempDir(), t.TempDir()
	for _, f := range []string{"a", "b", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.secboot.fd"} {
		write(t, filepath.Join(blobs, f), f)
	}
	a, b := filepath.Join(blobs, "a"), filepath.Join(blobs, "b")
	plain := func(features, arch, format string) string {
		return fmt.Sprintf(`{"interface-types":["uefi"],"mapping":{"device":"flash","executable":{"filename":%q,"format":%q},
			"nvram-template":{"filename":%q,"format":%q}},"targets":[{"architecture":%q,"machines":["pc-q35-*"]}],"features":[%s]}`,
			a, format, b, format, arch, features)
	}
	loaders := []string{filepath.Join(blobs, "OVMF_CODE_4M.secboot.fd"), filepath.Join(blobs, "OVMF_CODE_4M.fd")}
	named := firmware{loaders[1], filepath.Join(blobs, "OVMF_VARS_4M.fd")}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  firmware
	}{
		{"none", nil, named},
		{"secure", map[string]string{"40.json": plain(`"secure-boot"`, "x86_64", "raw")}, named},
		{"smm", map[string]string{"40.json": plain(`"requires-smm"`, "x86_64", "raw")}, named},
		{"other machine", map[string]string{"40.json": plain("", "aarch64", "raw")}, named},
		{"qcow2", map[string]string{"40.json": plain("", "x86_64", "qcow2")}, named},
		{"no json", map[string]string{"40.json": "{"}, named},
		{"plain", map[string]string{"40.json": plain(`"secure-boot"`, "x86_64", "raw"), "60.json": plain(`"acpi-s3"`, "x86_64", "raw")}, firmware{a, b}},
	} {
		old, _ := filepath.Glob(filepath.Join(vendor, "*"))
		for _, f := range old {
			_ = os.Remove(f)
		}
		for f, text := range tt.files {
			write(t, filepath.Join(vendor, f), text)
		}
		if got := findFirmware([]string{admin, vendor}, loaders); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	write(t, filepath.Join(admin, "60.json"), "{}") // hides the vendor's
	if got := findFirmware([]string{admin, vendor}, nil); got != (firmware{}) {
		t.Errorf("hidden by the admin: %v", got)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
