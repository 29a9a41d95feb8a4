package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"lodge/api"
	"lodge/auth"
	"lodge/cloud"
)

// OIDCConfig is the identity provider that people log in at.
type OIDCConfig struct {
	Options     auth.OIDCOptions // StateKey is the daemon's
	AllowCreate bool             // make users at their first login
}

// openSignOn gives nil where there is no identity provider. It is not asked here:
// one that is down keeps nobody else out.
func (d *Daemon) openSignOn() (api.SignOn, error) {
	if d.cfg.OIDC == nil {
		return nil, nil
	}
	path := d.cfg.path("oidc.key")
	o := d.cfg.OIDC.Options
	var err error
	if o.StateKey, err = stateKey(path); err != nil {
		return nil, fmt.Errorf("key of single sign-on: %w", err)
	}
	made, err := auth.NewOIDC(o)
	if err != nil {
		if len(o.StateKey) != stateKeyBytes {
			return nil, fmt.Errorf("%s is damaged; remove it and lodged makes another", path)
		}
		return nil, fmt.Errorf("single sign-on: %s", cloud.MessageOf(err))
	}
	on := auth.NewSignOn(made, d.db, d.db, d.cfg.NewID)
	on.AllowCreate = d.cfg.OIDC.AllowCreate
	return on, nil
}

const stateKeyBytes = 32

// stateKey reads the key that seals logins on their way, or makes it. Losing it
// ends the logins of ten minutes and nothing else.
func stateKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	key := make([]byte, stateKeyBytes)
	_, _ = rand.Read(key) // never fails
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return key, os.Rename(path+".new", path)
}
