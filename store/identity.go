package store

import (
	"context"
	"sync"
	"time"

	"lodge/cloud"
)

// Identity is who stands behind the token with the hash. Returns
// CodeUnauthorized when there is none, or it has ended.
//
// What it answered is kept in memory until anything about users, members, tokens
// or tenants changes: only this process writes the file.
func (d *DB) Identity(ctx context.Context, now time.Time, hash string) (cloud.Identity, error) {
	id, epoch, known := d.identities.get(hash)
	if !known {
		var err error
		if id, err = d.readIdentity(ctx, hash); cloud.CodeOf(err) == cloud.CodeNotFound {
			err = noIdentity() // the user or the tenant is gone
		}
		if err != nil {
			return cloud.Identity{}, fail("read identity", err)
		}
		d.identities.put(hash, id, epoch)
	}
	if !id.ExpiresAt.IsZero() && !now.Before(id.ExpiresAt) {
		return cloud.Identity{}, cloud.Errorf(cloud.CodeUnauthorized, "The token has expired; log in again, or use another one.")
	}
	d.identities.use(id.TokenID, now)
	return id, nil
}

func noIdentity() error {
	return cloud.Errorf(cloud.CodeUnauthorized, "The token is unknown or was revoked; log in again, or use another one.")
}

func (d *DB) readIdentity(ctx context.Context, hash string) (cloud.Identity, error) {
	s := d.read(ctx)
	k, found, err := one(s, scanToken, `SELECT `+tokenColumns+tokenTables+`
		WHERE k.hash = ?
		  AND k.revoked_at IS NULL`, hash)
	if err != nil {
		return cloud.Identity{}, err
	}
	if !found {
		return cloud.Identity{}, noIdentity()
	}
	id := cloud.Identity{
		TokenID: k.ID, UserID: k.UserID, UserName: k.UserName, Scope: k.Scope,
		Role: k.Role, TenantID: k.TenantID, ExpiresAt: k.ExpiresAt,
	}
	if k.UserID == "" { // made by an operator: for one tenant, or for the installation
		if k.TenantID == "" {
			id.Operator = k.Role == cloud.RoleOperator
			return id, nil
		}
		tenant, err := liveTenant(s, k.TenantID)
		if err == nil {
			id.Memberships = []cloud.Membership{{TenantID: tenant.ID, TenantName: tenant.Name, Role: k.Role}}
		}
		return id, err
	}
	u, err := liveUser(s, k.UserID)
	if err != nil {
		return id, err
	}
	id.UserName, id.Memberships = u.Name, u.Memberships
	id.Operator = u.Operator && k.Role == cloud.RoleOperator && k.TenantID == ""
	return id, nil
}

// identities remembers what tokens stand for.
type identities struct {
	mu    sync.RWMutex
	known map[string]cloud.Identity
	epoch uint64

	usedMu sync.Mutex
	used   map[string]time.Time // token id -> last use not written down yet
}

// maxIdentities bounds the memory; beyond it all are read anew.
const maxIdentities = 10_000

func newIdentities() *identities {
	return &identities{known: map[string]cloud.Identity{}, used: map[string]time.Time{}}
}

func (i *identities) get(hash string) (id cloud.Identity, epoch uint64, known bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	id, known = i.known[hash]
	return id, i.epoch, known
}

// put keeps what was read at the epoch, unless something has changed since.
func (i *identities) put(hash string, id cloud.Identity, epoch uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if epoch != i.epoch {
		return
	}
	if len(i.known) >= maxIdentities {
		clear(i.known)
	}
	i.known[hash] = id
}

func (i *identities) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.known)
	i.epoch++
}

// useEvery is how exact the last use of a token is. It is for people who look
// for tokens that nobody needs, and must not cost a write per request.
const useEvery = time.Minute

func (i *identities) use(tokenID string, now time.Time) {
	i.usedMu.Lock()
	defer i.usedMu.Unlock()
	if now.Sub(i.used[tokenID]) >= useEvery {
		i.used[tokenID] = now
	}
}

// RecordTokenUse writes down when tokens were last used. Losing it costs a
// minute of that.
func (d *DB) RecordTokenUse(ctx context.Context, now time.Time) error {
	d.identities.usedMu.Lock()
	used := d.identities.used
	d.identities.used = make(map[string]time.Time)
	d.identities.usedMu.Unlock()
	if len(used) == 0 {
		return nil
	}
	return d.write(ctx, now, reconciler, "record token use", func(t *tx) error {
		for id, at := range used {
			_, err := t.exec(`
				UPDATE token
				SET last_used_at = ?
				WHERE id = ?
				  AND (last_used_at IS NULL OR last_used_at < ?)`, stamp(at), id, stamp(at))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// OpenSession keeps the session of a user that has just shown who it is. Its
// role is the most a user can have; the memberships decide. Sessions that ended
// longer than a day ago are forgotten with it.
func (d *DB) OpenSession(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewToken, hash string) (k cloud.Token, err error) {
	c.UserID = n.UserID // whose the Idempotency-Key is: other people choose the same
	err = d.write(ctx, now, c, "session.open", func(t *tx) error {
		k, err = t.openSession(n, hash)
		return err
	})
	return k, err
}

func (t *tx) openSession(n cloud.NewToken, hash string) (cloud.Token, error) {
	u, err := liveUser(t, n.UserID)
	if err != nil {
		return cloud.Token{}, err
	}
	t.caller.UserID, t.caller.UserName = u.ID, u.Name
	n.Kind, n.Role, n.TenantID = cloud.TokenSession, cloud.RoleAdmin, ""
	if u.Operator {
		n.Role = cloud.RoleOperator
	}
	_, err = t.exec(`DELETE FROM token WHERE kind = 'session' AND expires_at < ?`, stamp(t.now.Add(-24*time.Hour)))
	if err != nil {
		return cloud.Token{}, err
	}
	k, err := t.createToken(n, hash)
	if err == nil {
		t.answer = cloud.Issued{Token: k, User: u}
	}
	return k, err
}
