package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A secret that everybody on the machine reads is refused at the start, wherever it is named.
func TestASecretThatEverybodyReadsIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		flag string
		more []string
	}{
		{"--oidc-client-secret-file", []string{"--oidc-issuer", "https://id.example.org", "--oidc-client-id", "lodge"}},
		{"--usage-sink-token-file", []string{"--usage-sink", "https://sink.example.org/"}},
		{"--backup-s3-credentials", []string{"--backup-to", "s3:https://s3.example.org/backups"}},
		{"--tls-key", []string{"--tls-cert", filepath.Join(dir, "cert.pem"), "--listen", "127.0.0.1:0"}},
	} {
		for _, mode := range []os.FileMode{0o644, 0o604, 0o602, 0o601, 0o640, 0o600, 0o400} {
			path := filepath.Join(dir, "secret")
			_ = os.Remove(path)
			if err := os.WriteFile(path, []byte("s3cret-of-tests\n"), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil { // the umask
				t.Fatal(err)
			}
			for _, command := range [][]string{nil, {"doctor"}} {
				said := told(t, path, append(append(command, tt.flag, path), tt.more...)...)
				refused := strings.Contains(said, tt.flag+": ") && strings.Contains(said, "chmod 600 "+path)
				if want := mode&0o007 != 0; refused != want {
					t.Errorf("%v %s with mode %04o: %s", command, tt.flag, mode, said)
				}
				if strings.Contains(said, "s3cret") {
					t.Errorf("%s: the secret is in %s", tt.flag, said)
				}
			}
		}
	}
}
