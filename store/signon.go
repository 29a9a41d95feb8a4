package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
	"unicode"

	"lodge/cloud"
)

// SignIn opens the session of somebody whom an identity provider knows, and makes
// the user where p.Create says so. Who it is goes by issuer and subject: a name is
// never believed. The login is spent with it, and with a refusal.
//
// Returns CodeUnauthorized for a login that was spent before, CodeForbidden for
// somebody who is no user, CodeNameTaken for a new one with the name of another.
func (d *DB) SignIn(ctx context.Context, c cloud.Caller, now time.Time, p cloud.SignIn, n cloud.NewToken, hash string) (k cloud.Token, err error) {
	var refusal error
	err = d.write(ctx, now, c, "session.open", func(t *tx) error {
		if err := t.spendLogin(p); err != nil {
			return err
		}
		n.UserID, refusal, err = t.userOf(p)
		if err != nil || refusal != nil {
			return err
		}
		k, err = t.openSession(n, hash)
		return err
	})
	if err == nil {
		err = refusal
	}
	return k, err
}

// spendLogin lets a login end once, and forgets those that are too old to end.
func (t *tx) spendLogin(p cloud.SignIn) error {
	if _, err := t.exec(`DELETE FROM oidc_login WHERE ends_at <= ?`, stamp(t.now)); err != nil {
		return err
	}
	n, err := t.exec(`
		INSERT INTO oidc_login (
		  id,
		  ends_at
		) VALUES (?, ?)
		ON CONFLICT (id) DO NOTHING`, p.Login, stamp(p.LoginEnds))
	if err == nil && n == 0 {
		err = cloud.Errorf(cloud.CodeUnauthorized, "This login has been used already; start another one.")
	}
	return err
}

// userOf finds or makes the user that a person is. A refusal comes before
// anything is written.
func (t *tx) userOf(p cloud.SignIn) (id string, refusal, err error) {
	id, err = holderOf(t, p.Issuer, p.Subject)
	if err != nil || id != "" {
		return id, nil, err
	}
	if refusal = mayJoin(p); refusal != nil {
		return "", refusal, nil
	}
	taken, err := exists(t, `SELECT 1 FROM "user" WHERE name = ? AND deleted_at IS NULL`, p.Name)
	if err != nil {
		return "", nil, err
	}
	if taken {
		return "", cloud.Errorf(cloud.CodeNameTaken, "There is a user named %q already, who is not you as far as lodge knows; %s", p.Name, askForLink(p)), nil
	}
	u, err := t.createUser(cloud.NewUser{ID: p.UserID, Name: p.Name, Email: p.Email, Issuer: p.Issuer, Subject: p.Subject}, "")
	if err != nil {
		return "", nil, err
	}
	// Two things happen here, and the log has a line for each.
	err = t.insertAudit(cloud.AuditEntry{Action: "user.create", Subject: t.subject.ref, Name: u.Name, Result: auditOK}, t.caller)
	t.subject = auditSubject{}
	return u.ID, nil, err
}

// mayJoin decides whether a stranger becomes a user.
func mayJoin(p cloud.SignIn) error {
	switch {
	case !p.Create:
		return cloud.Errorf(cloud.CodeForbidden, "Your account at the identity provider belongs to no user here; %s", askForLink(p))
	case p.Name == "" || len(cloud.ValidateUserName("name", p.Name)) > 0:
		return cloud.Errorf(cloud.CodeForbidden, "The identity provider tells no name that a user here can have (%q); %s", p.Name, askForLink(p))
	}
	return nil
}

// askForLink says what the operator needs to know. What it says will be pasted
// into a shell, and the subject is another's word: one that quotes do not hold is
// in no command.
func askForLink(p cloud.SignIn) string {
	odd := func(r rune) bool { return r == '\'' || r > unicode.MaxASCII || !unicode.IsPrint(r) }
	if strings.ContainsFunc(p.Subject, odd) {
		return fmt.Sprintf("ask the operator to link one to the subject %q.", p.Subject)
	}
	return fmt.Sprintf("ask the operator for `lodge user link NAME --subject '%s'`.", p.Subject)
}

// holderOf is the id of the user that a person at an issuer is; "" for none.
func holderOf(s source, issuer, subject string) (id string, err error) {
	err = s.row(`
		SELECT id
		FROM "user"
		WHERE issuer = ?
		  AND subject = ?
		  AND subject <> ''
		  AND deleted_at IS NULL`, issuer, subject).Scan(&id)
	if err == sql.ErrNoRows {
		return "", nil
	}
	return id, err
}

// LinkUser says who a user is at an identity provider; two empty words say
// nobody. When that changes, the sessions of the user end.
//
// Returns CodeForbidden for anybody but an operator, CodeNotFound, CodeConflict
// when another user is that person.
func (d *DB) LinkUser(ctx context.Context, c cloud.Caller, now time.Time, idOrName, issuer, subject string) (u cloud.User, err error) {
	if err := onlyOperator(c, "says who users are at an identity provider"); err != nil {
		return u, err
	}
	what := "user.link"
	if subject == "" {
		what = "user.unlink"
	}
	err = d.write(ctx, now, c, what, func(t *tx) error {
		if u, err = liveUser(t, idOrName); err != nil {
			return err
		}
		if err := c.Expects(u.Tag()); err != nil || (u.Issuer == issuer && u.Subject == subject) {
			return err
		}
		holder, err := holderOf(t, issuer, subject)
		if err != nil {
			return err
		}
		if holder != "" {
			other, err := liveUser(t, holder)
			if err != nil {
				return err
			}
			return cloud.Errorf(cloud.CodeConflict, "That person is the user %s already; run `lodge user unlink %s` first.", other.Name, other.Name)
		}
		return t.link(&u, issuer, subject)
	})
	return u, err
}

func (t *tx) link(u *cloud.User, issuer, subject string) error {
	t.audited("", cloud.Ref{Kind: cloud.KindUser, ID: u.ID}, u.Name)
	_, err := t.exec(`
		UPDATE "user"
		SET issuer = ?,
		    subject = ?,
		    updated_at = ?,
		    revision = revision + 1
		WHERE id = ?`, issuer, subject, stamp(t.now), u.ID)
	if err != nil {
		return err
	}
	if u.Subject != "" { // whoever it was is it no more
		if err := t.revokeTokens(`user_id = ? AND kind = 'session'`, u.ID); err != nil {
			return err
		}
	}
	*u, err = liveUser(t, u.ID)
	return err
}
