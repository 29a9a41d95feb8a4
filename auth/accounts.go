package auth

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"lodge/cloud"
)

// SessionLife is how long a login is good for.
const SessionLife = 12 * time.Hour

// Rows keeps what is left of secrets.
type Rows interface {
	TokenRows
	UserRows
}

// TokenRows keeps tokens and sessions.
type TokenRows interface {
	OpenSession(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewToken, hash string) (cloud.Token, error)
	CreateToken(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewToken, hash string) (cloud.Token, error)
}

// UserRows keeps users and their passwords.
type UserRows interface {
	Credentials(ctx context.Context, name string) (userID, passwordHash string, err error)
	User(ctx context.Context, c cloud.Caller, idOrName string) (cloud.User, error)
	CreateUser(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewUser, passwordHash string) (cloud.User, error)
	SetPassword(ctx context.Context, c cloud.Caller, now time.Time, idOrName, passwordHash string) error
	// RenewPasswordHash keeps another hash of the same password, unless the
	// password has changed meanwhile.
	RenewPasswordHash(ctx context.Context, now time.Time, userID, old, renewed string) error
}

// Refusals writes down who was not let in.
type Refusals interface {
	RecordRefusal(ctx context.Context, c cloud.Caller, now time.Time, e cloud.AuditEntry) error
}

// Accounts makes, keeps and compares the secrets of users.
type Accounts struct {
	Rows     Rows
	Refusals Refusals
	Limiter  *Limiter
	Gate     *Gate
	Cost     Cost
	NewID    func() string

	// decoy is made with the first login: making it takes as much memory as a login,
	// and a lodged that serves no tenants shall not have taken it.
	decoy func() string
}

// NewAccounts makes Accounts with the default bounds.
func NewAccounts(rows Rows, refusals Refusals, newID func() string) *Accounts {
	return &Accounts{
		Rows: rows, Refusals: refusals, NewID: newID, Cost: DefaultCost,
		Limiter: NewLimiter(LimitOptions{}), Gate: NewGate(2, 32), decoy: sync.OnceValue(func() string { return Decoy(DefaultCost) }),
	}
}

// Login opens a session for whoever knows the password. c has where the request
// came from.
//
// Returns CodeUnauthorized, the same and as late for a wrong name as for a wrong
// password; CodeLockedOut after too many of them; CodeRateLimited when too many
// log in at once.
func (a *Accounts) Login(ctx context.Context, c cloud.Caller, now time.Time, name, password string) (secret string, k cloud.Token, err error) {
	addr, _ := netip.ParseAddr(c.Address)
	if err := a.admit(now, name, addr); err != nil {
		return "", k, err
	}
	userID, good, err := a.verify(ctx, now, name, password)
	if err != nil {
		a.Limiter.Forgive(now, name, addr)
		return "", k, err
	}
	if !good {
		return "", k, a.refuse(ctx, c, now, name, addr)
	}
	a.Limiter.Succeeded(now, name, addr)
	secret = NewSecret()
	k, err = a.Rows.OpenSession(ctx, withSecret(c, secret), now, cloud.NewToken{
		ID: a.NewID(), Name: "login", UserID: userID, ExpiresAt: now.Add(SessionLife),
	}, HashSecret(secret))
	return secret, k, err
}

// verify costs the same whether there is such a user or not. Only whoever knows
// the password waits for a hash that is made anew.
func (a *Accounts) verify(ctx context.Context, now time.Time, name, password string) (userID string, good bool, err error) {
	userID, hash, err := a.Rows.Credentials(ctx, name)
	if err != nil {
		return "", false, err
	}
	leave, err := a.Gate.Enter(ctx)
	if err != nil {
		return "", false, err
	}
	defer leave()
	decoy := a.decoy() // also where it is not needed: the first login must tell nothing either
	there := hash != "" && len(password) <= MaxPassword
	if !there {
		hash = decoy
	}
	if len(password) > MaxPassword {
		password = ""
	}
	good, renew := verify(password, hash, a.Cost)
	if good = good && there; good && renew {
		err = a.Rows.RenewPasswordHash(ctx, now, userID, hash, HashPassword(normal(password), a.Cost))
	}
	return userID, good, err
}

func (a *Accounts) refuse(ctx context.Context, c cloud.Caller, now time.Time, name string, addr netip.Addr) error {
	until := a.Limiter.Failed(now, name, addr)
	err := a.Refusals.RecordRefusal(ctx, c, now, cloud.AuditEntry{
		Action: "session.open", Name: short(name), Result: string(cloud.CodeUnauthorized),
	})
	if err != nil {
		return err
	}
	if !until.IsZero() {
		return lockedOut(until.Sub(now))
	}
	return cloud.Errorf(cloud.CodeUnauthorized, "The user name or the password is wrong.")
}

// short keeps what a stranger wrote from filling the log, and a token that was
// pasted into the wrong field out of it.
func short(name string) string {
	name = cloud.MaskSecrets(name)
	if r := []rune(name); len(r) > 64 {
		return string(r[:64])
	}
	return name
}

// admit counts an attempt, or says why there can be none now.
func (a *Accounts) admit(now time.Time, name string, addr netip.Addr) error {
	wait, crowded, ok := a.Limiter.admit(now, name, addr)
	switch {
	case ok:
		return nil
	case crowded:
		return &cloud.Error{
			Code: cloud.CodeRateLimited, RetryAfter: gateRetry,
			Message: "Too many logins of this name or from this address are under way at once; try again in a few seconds.",
		}
	}
	return lockedOut(wait)
}

func lockedOut(wait time.Duration) error {
	return &cloud.Error{
		Code:       cloud.CodeLockedOut,
		Message:    "Too many logins have failed; wait " + wait.Round(time.Second).String() + " and try again.",
		RetryAfter: wait,
	}
}

// CreateUser makes a user; without a password it cannot log in with one. Returns
// CodeInvalid for a password that is too short, and what the store returns.
func (a *Accounts) CreateUser(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewUser, password string) (cloud.User, error) {
	hash := ""
	if password != "" {
		var err error
		if hash, err = a.hash(ctx, n.Name, password); err != nil {
			return cloud.User{}, err
		}
	}
	return a.Rows.CreateUser(ctx, c, now, n, hash)
}

// SetPassword gives a user another password. Whoever changes its own must know
// the present one: a token that was left lying about is not enough.
func (a *Accounts) SetPassword(ctx context.Context, c cloud.Caller, now time.Time, user, password, current string) error {
	u, err := a.Rows.User(ctx, c, user)
	if err != nil {
		return err
	}
	if !c.Operator {
		addr, _ := netip.ParseAddr(c.Address)
		if err := a.admit(now, c.UserName, addr); err != nil {
			return err
		}
		_, good, err := a.verify(ctx, now, c.UserName, current)
		if err != nil {
			a.Limiter.Forgive(now, c.UserName, addr)
			return err
		}
		if !good {
			a.Limiter.Failed(now, c.UserName, addr)
			return cloud.Errorf(cloud.CodeForbidden, "The current password is missing or wrong.")
		}
		a.Limiter.Succeeded(now, c.UserName, addr)
	}
	hash, err := a.hash(ctx, u.Name, password)
	if err != nil {
		return err
	}
	return a.Rows.SetPassword(ctx, c, now, u.ID, hash)
}

func (a *Accounts) hash(ctx context.Context, name, password string) (string, error) {
	if err := CheckPassword(name, password); err != nil {
		return "", err
	}
	leave, err := a.Gate.Enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return HashPassword(normal(password), a.Cost), nil
}

// CreateToken makes a token and its secret, which nobody can show again.
func (a *Accounts) CreateToken(ctx context.Context, c cloud.Caller, now time.Time, n cloud.NewToken) (secret string, k cloud.Token, err error) {
	secret = NewSecret()
	if k, err = a.Rows.CreateToken(ctx, withSecret(c, secret), now, n, HashSecret(secret)); err != nil {
		return "", k, err
	}
	return secret, k, nil
}

// withSecret puts the secret into the answer that is kept for an
// Idempotency-Key: the rows never hold it, and Render seals what has it.
func withSecret(c cloud.Caller, secret string) cloud.Caller {
	if c.Once == nil {
		return c
	}
	once := *c.Once
	render := once.Render
	once.Render = func(v any) (cloud.Answer, error) {
		if k, ok := v.(cloud.Issued); ok {
			k.Secret = secret
			v = k
		}
		return render(v)
	}
	c.Once = &once
	return c
}
