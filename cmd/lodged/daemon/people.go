package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"lodge/api"
	"lodge/auth"
	"lodge/cloud"
)

// firstOperator is who comes in over TCP before there is anybody else.
const firstOperator = "operator"

// caller says who a request comes from: whoever may open the socket is the
// operator, all others show a token.
func (d *Daemon) caller() func(*http.Request) (cloud.Caller, error) {
	door := auth.Door{Identities: d.db, Limiter: auth.NewLimiter(auth.LimitOptions{}), Now: d.cfg.Now}
	return func(r *http.Request) (cloud.Caller, error) {
		if byTCP(r) {
			c, err := door.Caller(r)
			if err == nil {
				welcome(r.Context())
			}
			return c, err
		}
		return cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "socket"}, nil
	}
}

// rates bounds the requests of tenants; nil when there is no limit.
func (d *Daemon) rates() api.Rates {
	if d.cfg.RateLimit <= 0 {
		return nil
	}
	return auth.NewRates(d.cfg.RateLimit, d.cfg.RateBurst)
}

// welcome makes the first operator where tenants are served and nobody has an
// account yet, and says the way in, once. A password that got lost is set anew
// over the socket.
func (d *Daemon) welcome(ctx context.Context) error {
	if d.tcp == nil {
		return nil
	}
	start := cloud.Caller{Operator: true, Role: cloud.RoleOperator, Via: "start"}
	users, _, err := d.db.Users(ctx, start, cloud.Filter{}, cloud.Page{Limit: 1})
	if err != nil || len(users) > 0 {
		return err
	}
	password := rand.Text()
	if d.cfg.OutIsKept {
		password = "" // whoever reads the log would have it
	}
	n := cloud.NewUser{ID: d.cfg.NewID(), Name: firstOperator, Operator: true}
	if _, err := d.accounts.CreateUser(ctx, start, d.cfg.Now(), n, password); err != nil {
		return fmt.Errorf("make the first operator: %w", err)
	}
	scheme, print := "http", ""
	if d.certs != nil {
		scheme = "https"
		if sum := d.certs.Fingerprint(); sum != "" {
			print = "\n  fingerprint  " + sum
		}
	}
	shown := password
	if shown == "" {
		shown = "none yet, as this is kept in a log; set one: lodge user password " + firstOperator
	}
	fmt.Fprintf(d.cfg.Out, "The first operator, shown this once:\n  address      %s://%s%s\n  user         %s\n  password     %s\nLog in with: lodge login %s://%s --user %s\n",
		scheme, d.tcp.Addr(), print, firstOperator, shown, scheme, d.tcp.Addr(), firstOperator)
	return nil
}

// keepTokenUse writes down from time to time when tokens were last used.
func (d *Daemon) keepTokenUse(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			d.recordTokenUse(last)
			return
		case <-tick.C:
			d.recordTokenUse(ctx)
		}
	}
}

func (d *Daemon) recordTokenUse(ctx context.Context) {
	if err := d.db.RecordTokenUse(ctx, d.cfg.Now()); err != nil {
		d.cfg.Log.Error("last use of tokens", "err", err)
	}
}
