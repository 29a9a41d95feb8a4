package cloud

import (
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// What a validation lets through cannot break a line, and what it refuses it
// refuses in a sentence.
func FuzzValidate(f *testing.F) {
	for _, s := range []string{"web1", "a b", "5m", "", "x/y", "example.org/role", "a@example.org", "#cloud-config\n", "é", "\u202e", "\x00", "a\r\nb", "\xff", strings.Repeat("a", 300)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for name, bad := range map[string][]FieldError{
			"name": ValidateName("f", a), "tenant": ValidateTenantName("f", a), "flavor": ValidateFlavorID("f", a), "image": ValidateImageName("f", a), "token": ValidateTokenName("f", a),
			"label": ValidateLabel("f", a, b), "user data": ValidateUserData("f", a), "sha256": ValidateSHA256("f", a), "firmware": ValidateFirmware("f", Firmware(a)),
			"login": ValidateLoginUser("f", a), "user": ValidateUserName("f", a), "email": ValidateEmail("f", a),
		} {
			for _, e := range bad {
				if e.Field == "" || !strings.HasSuffix(e.Message, ".") || !utf8.ValidString(e.Message) || strings.ContainsFunc(e.Message, unicode.IsControl) || len(e.Message) > 1000 {
					t.Errorf("%s %q: %+v", name, a, e)
				}
			}
			if len(bad) == 0 && name != "user data" && (!utf8.ValidString(a) || strings.ContainsFunc(a, unicode.IsControl)) {
				t.Errorf("%s %q is taken", name, a)
			}
		}
		if IsUUID(a) && (len(a) != 36 || strings.Trim(a, "0123456789abcdef-") != "") {
			t.Errorf("%q is taken for an id", a)
		}
	})
}

// A URL that is taken is http or https, has a host, and no password.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.org/a.qcow2", "http://127.0.0.1/", "http://[::1]:80/", "file:///etc/passwd", "https://u:p@h/", "http://0x7f.1/", "http://2130706433/", "//h", "http://h#f", "https://h:99999/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := CheckURL(s); err != nil {
			if c := CodeOf(err); c != CodeURLRefused && c != CodeInvalid {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			t.Errorf("%q is taken", s)
		}
	})
}
