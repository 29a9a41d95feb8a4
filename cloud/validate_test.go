package cloud

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestValuesWithinTheirRulesAreTaken(t *testing.T) {
	for what, errs := range map[string][]FieldError{
		"name":            ValidateName("f", "web-1"),
		"longest name":    ValidateName("f", strings.Repeat("a", 63)),
		"tenant":          ValidateTenantName("f", "Acme_1.org"),
		"flavor":          ValidateFlavorID("f", "c2-m4"),
		"image":           ValidateImageName("f", "Debian 12 (bookworm) é"),
		"labels":          ValidateLabels("f", map[string]string{"a": "", "example.org/role": "Web_1.x"}),
		"no labels":       ValidateLabels("f", nil),
		"vcpus":           ValidateVCPUs("f", 256),
		"memory":          ValidateMemoryMiB("f", 4<<20),
		"odd memory":      ValidateMemoryMiB("f", 1001),
		"disk":            ValidateDiskGiB("f", 1),
		"no user data":    ValidateUserData("f", ""),
		"cloud-config":    ValidateUserData("f", "#cloud-config\n"),
		"script":          ValidateUserData("f", "#!/bin/sh"),
		"jinja":           ValidateUserData("f", "## template: jinja\n#cloud-config"),
		"multipart":       ValidateUserData("f", "content-type: multipart/mixed; boundary=x"),
		"most user data":  ValidateUserData("f", "#!"+strings.Repeat("x", MaxUserData-2)),
		"sha256":          ValidateSHA256("f", strings.Repeat("aB", 32)),
		"no sha256":       ValidateSHA256("f", ""),
		"firmware":        ValidateFirmware("f", FirmwareUEFI),
		"no firmware":     ValidateFirmware("f", ""),
		"login":           ValidateLoginUser("f", "_debian-1.x"),
		"login not known": ValidateLoginUser("f", ""),
	} {
		if len(errs) > 0 {
			t.Errorf("%s: %v", what, errs)
		}
	}
}

func TestValuesOutsideTheirRulesAreNamed(t *testing.T) {
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprint("k", i)] = ""
	}
	for what, errs := range map[string][]FieldError{
		"no name":                       ValidateName("f", ""),
		"name with capitals":            ValidateName("f", "Web"),
		"name with a dot":               ValidateName("f", "web.1"),
		"name with a hyphen":            ValidateName("f", "-web"),
		"name too long":                 ValidateName("f", strings.Repeat("a", 64)),
		"name of 300":                   ValidateName("f", strings.Repeat("é", 300)),
		"name like an id":               ValidateName("f", "00000000-0000-4000-8000-000000000001"),
		"name like an id in capitals":   ValidateName("f", "ABCDEF00-0000-4000-8000-000000000001"),
		"image like an id in capitals":  ValidateImageName("f", "ABCDEF00-0000-4000-8000-000000000001"),
		"tenant like an id in capitals": ValidateTenantName("f", "ABCDEF00-0000-4000-8000-000000000001"),
		"name with a zero":              ValidateName("f", "a\x00"),
		"tenant with a slash":           ValidateTenantName("f", "a/b"),
		"no tenant":                     ValidateTenantName("f", ""),
		"flavor with a dot":             ValidateFlavorID("f", ".."),
		"image of two lines":            ValidateImageName("f", "a\nb"),
		"image with a space":            ValidateImageName("f", " a"),
		"image not UTF-8":               ValidateImageName("f", "\xff"),
		"image with direction":          ValidateImageName("f", "a\u202eb"),
		"image too long":                ValidateImageName("f", strings.Repeat("é", 129)),
		"label without a name":          ValidateLabel("f", "a/", ""),
		"label without domain":          ValidateLabel("f", "/a", ""),
		"label of two slashes":          ValidateLabel("f", "a/b/c", ""),
		"empty label":                   ValidateLabel("f", "", ""),
		"long label":                    ValidateLabel("f", strings.Repeat("a", 64), ""),
		"long value":                    ValidateLabel("f", "a", strings.Repeat("a", 64)),
		"value with markup":             ValidateLabel("f", "a", "<b>"),
		"65 labels":                     ValidateLabels("f", many),
		"no vcpus":                      ValidateVCPUs("f", 0),
		"257 vcpus":                     ValidateVCPUs("f", 257),
		"little memory":                 ValidateMemoryMiB("f", 63),
		"much memory":                   ValidateMemoryMiB("f", 4<<20+1),
		"no disk":                       ValidateDiskGiB("f", 0),
		"much disk":                     ValidateDiskGiB("f", 64<<10+1),
		"much user data":                ValidateUserData("f", "#!"+strings.Repeat("x", MaxUserData)),
		"user data not UTF-8":           ValidateUserData("f", "#!\xff"),
		"user data of no kind":          ValidateUserData("f", "echo hi"),
		"gzip":                          ValidateUserData("f", "\x1f\x8b\x08"),
		"short sha256":                  ValidateSHA256("f", "abc"),
		"sha256 not in hex":             ValidateSHA256("f", strings.Repeat("g", 64)),
		"firmware":                      ValidateFirmware("f", "efi"),
		"login with a space":            ValidateLoginUser("f", "a b"),
		"login that is a digit":         ValidateLoginUser("f", "1a"),
		"long login":                    ValidateLoginUser("f", strings.Repeat("a", 33)),
	} {
		if len(errs) == 0 {
			t.Errorf("%s is taken", what)
		}
		for _, e := range errs {
			if !strings.HasPrefix(e.Field, "f") || !strings.HasSuffix(e.Message, ".") || len(e.Message) > 300 {
				t.Errorf("%s: %+v", what, e)
			}
		}
	}
}

func TestInvalidSaysOneOrCountsMany(t *testing.T) {
	if err := Invalid(nil); err != nil {
		t.Error(err)
	}
	one := Invalid([]FieldError{{"a", "It is wrong."}})
	if MessageOf(one) != "It is wrong." || CodeOf(one) != CodeInvalid {
		t.Error(one)
	}
	if two := Invalid([]FieldError{{"a", "x."}, {"b", "y."}}); MessageOf(two) != "2 fields are not valid." {
		t.Error(two)
	}
}

func TestPublicAddresses(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "8.8.8.8", "2606:4700::1111", "172.32.0.1", "100.128.0.1", "::ffff:1.1.1.1"} {
		if !PublicAddr(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
	for _, s := range []string{
		"0.0.0.0", "127.0.0.1", "127.255.255.255", "10.1.1.1", "172.31.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
		"192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1%eth0", "fc00::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "::7f00:1", "2001:db8::1", "2001::1",
	} {
		if PublicAddr(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	if PublicAddr(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestURLsOfImages(t *testing.T) {
	for _, s := range []string{"https://example.org/x.qcow2", "http://example.org:8080/a?b=c", "HTTPS://Example.ORG./x", "https://1.1.1.1/x", "https://[2606:4700::1111]/x", "https://3com.example/x"} {
		if err := CheckURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for s, want := range map[string]Code{
		"": CodeInvalid, "example.org/x": CodeInvalid, "http:///x": CodeInvalid, "http:example.org": CodeInvalid, "http://a b/": CodeInvalid, "://": CodeInvalid,
		"https://e.org/" + strings.Repeat("a", MaxURL): CodeInvalid,
		"file:///etc/passwd":                           CodeURLRefused, "ftp://e.org/": CodeURLRefused, "http://u:p@e.org/": CodeURLRefused, "http://LOCALHOST/": CodeURLRefused,
		"http://a.localhost/": CodeURLRefused, "http://127.0.0.1:80/": CodeURLRefused, "http://[::1]/": CodeURLRefused, "http://[fe80::1%25eth0]/": CodeURLRefused,
		"http://017700000001/": CodeURLRefused, "http://127.0.1/": CodeURLRefused, "http://0x7f.1/": CodeURLRefused, "http://169.254.169.254./": CodeURLRefused,
	} {
		if err := CheckURL(s); CodeOf(err) != want {
			t.Errorf("%s: %v, want %s", s, err, want)
		}
	}
}
