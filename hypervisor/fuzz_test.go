package hypervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"libvirt.org/go/libvirtxml"
)

// The mark is read whatever stands in it.
func FuzzMark(f *testing.F) {
	for _, s := range []string{`<lodge:guest xmlns:lodge="urn:lodge:guest:1" digest="a" form="1-kvm"/>`, `<guest digest="&#0;"/>`, "<", "", "<!DOCTYPE a [<!ENTITY b 'c'>]><a digest='&b;'/>", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if parseMark(text) == nil {
			t.Error("a mark that is there is none")
		}
	})
}

// Whatever a tenant's words are, the definition stays well-formed and has no part
// that the words made.
func FuzzDomainXML(f *testing.F) {
	for _, s := range []string{"web1 of acme", "]]><evil/>", `"/><disk type='file'><source file='/etc/shadow'/></disk>`, "&#0;", "a\x00b", "<!--", "\xff", "\ufffe", "a\r\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec := fullSpec()
		spec.Title, spec.Disks[0].Path, spec.Disks[0].Serial = text, "/d/"+text, text
		d, err := domain(spec, shape{"kvm", "x86_64", "q35", "host-model", firmware{"/fw/CODE.fd", "/fw/VARS.fd"}, limits{cpu: true, memory: true, io: true}}, "/c/"+text)
		if err != nil {
			t.Fatal(err)
		}
		out, err := d.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var back libvirtxml.Domain
		if err := back.Unmarshal(out); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if len(back.Devices.Disks) != len(spec.Disks) || len(back.Devices.Interfaces) != len(spec.NICs) || back.UUID != spec.ID || back.QEMUCommandline != nil {
			t.Fatalf("%q made something else:\n%s", text, out)
		}
		plain := utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == 0xfffe || r == 0xffff || r == utf8.RuneError })
		if plain && (back.Title != text || back.Devices.Disks[0].Source.File.File != "/d/"+text) {
			t.Errorf("%q came back as %q", text, back.Title)
		}
	})
}

// A firmware descriptor is read or passed over.
func FuzzDescriptor(f *testing.F) {
	f.Add([]byte(`{"interface-types":["uefi"],"mapping":{"device":"flash","executable":{"filename":"/x","format":"raw"},"nvram-template":{"filename":"/y","format":"raw"}},"targets":[{"architecture":"x86_64","machines":["pc-q35-*"]}],"features":[]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[`))
	path := filepath.Join(f.TempDir(), "d.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if fw, ok := readDescriptor(path); ok && (fw.loader == "" || fw.template == "") {
			t.Errorf("%s is read as %+v", b, fw)
		}
	})
}
