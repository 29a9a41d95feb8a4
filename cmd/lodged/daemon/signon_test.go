package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lodge/auth"
)

func TestTheKeyOfLoginsIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "oidc.key")
	first, err := stateKey(path)
	if err != nil || len(first) != stateKeyBytes {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	again, err := stateKey(path)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("it is another one: %v", err)
	}
}

func TestSingleSignOnThatCannotWorkIsTold(t *testing.T) {
	dir := t.TempDir()
	d := &Daemon{cfg: Config{DataDir: dir, OIDC: &OIDCConfig{Options: auth.OIDCOptions{Issuer: "http://id.example", ClientID: "lodge"}}}}
	if _, err := d.openSignOn(); err == nil || !strings.Contains(err.Error(), "not https") {
		t.Errorf("%v", err)
	}
	d.cfg.OIDC.Options.Issuer = "https://id.example"
	if on, err := d.openSignOn(); err != nil || on == nil {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "oidc.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.openSignOn(); err == nil || !strings.Contains(err.Error(), "is damaged; remove it") {
		t.Errorf("%v", err)
	}
	d.cfg.OIDC = nil
	if on, err := d.openSignOn(); err != nil || on != nil {
		t.Errorf("%v, %v", on, err)
	}
}
