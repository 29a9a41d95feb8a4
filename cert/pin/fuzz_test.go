package pin

import "testing"

// What a server offers as its authority is a certificate or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := Parse(b); err == nil && (c == nil || !isAuthority(c)) {
			t.Errorf("%q is an authority", b)
		}
	})
}
