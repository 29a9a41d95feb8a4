package auth

import (
	"fmt"
	"testing"
	"time"

	"lodge/cloud"
)

// crowd sends logins for ada from home that are all under way at once: none ends
// before each was admitted or refused. It counts the answers by code.
func crowd(t *testing.T, a *Accounts, passwords []string) map[cloud.Code]int {
	t.Helper()
	var leave []func()
	for range cap(a.Gate.inside) {
		out, err := a.Gate.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, out)
	}
	answers := make(chan error, len(passwords))
	for _, p := range passwords {
		go func() {
			_, _, err := a.Login(t.Context(), cloud.Caller{Via: "login", Address: home.String()}, start, "ada", p)
			answers <- err
		}()
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(answers)+len(a.Gate.all)-len(leave) < len(passwords) {
		if time.Now().After(deadline) {
			t.Fatalf("%d have an answer and %d wait, of %d", len(answers), len(a.Gate.all)-len(leave), len(passwords))
		}
		time.Sleep(time.Millisecond)
	}
	for _, out := range leave {
		out()
	}
	got := map[cloud.Code]int{}
	for range passwords {
		got[cloud.CodeOf(<-answers)]++
	}
	return got
}

func times(n int, password string) (out []string) {
	for range n {
		out = append(out, password)
	}
	return out
}

const right, wrong = "a few random words", "some other words"

func TestGoodLoginsAtOnceLockNobodyOut(t *testing.T) {
	a, db := newAccounts(t)
	makeUser(t, db, "ada", HashPassword(right, cheap))
	got := crowd(t, a, times(24, right))
	if got[""] != 10 || got[cloud.CodeRateLimited] != 14 {
		t.Errorf("answers %v", got)
	}
	if n := a.Limiter.names.owed(start, nameKey("ada")) + a.Limiter.addresses.owed(start, addressKey(home)); n != 0 || len(a.Limiter.open)+len(a.Limiter.openIn) != 0 {
		t.Errorf("%s is owed after good logins, %d are under way", n, len(a.Limiter.open))
	}
	for i := range 30 {
		_, _, err := a.Login(t.Context(), cloud.Caller{Via: "login", Address: office.String()}, start, "ada", right)
		if err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
	}
}

func TestGuessesAtOnceAreCountedToTheLast(t *testing.T) {
	for good := range 11 {
		t.Run(fmt.Sprint(good), func(t *testing.T) {
			a, db := newAccounts(t)
			makeUser(t, db, "ada", HashPassword(right, cheap))
			// Of ten at once the wrong ones stay counted, and no more than those.
			got := crowd(t, a, append(times(good, right), times(10-good, wrong)...))
			if got[""] != good || got[cloud.CodeUnauthorized]+got[cloud.CodeLockedOut] != 10-good {
				t.Fatalf("answers %v", got)
			}
			guesses := 0
			for ; guesses < 100; guesses++ {
				_, _, err := a.Login(t.Context(), cloud.Caller{Via: "login", Address: stranger(guesses).String()}, start, "ada", wrong)
				if cloud.CodeOf(err) == cloud.CodeLockedOut {
					guesses++ // the one that says so was looked at
					break
				}
			}
			if good == 0 {
				guesses-- // that one was refused unseen
			}
			if guesses != good {
				t.Errorf("%d guesses are left after %d wrong passwords", guesses, 10-good)
			}
		})
	}
}

func TestAFloodOfGuessesAtOnceGetsNoFurther(t *testing.T) {
	a, db := newAccounts(t)
	makeUser(t, db, "ada", HashPassword(right, cheap))
	got := crowd(t, a, times(40, wrong))
	if got[cloud.CodeUnauthorized]+got[cloud.CodeLockedOut] != 10 || got[cloud.CodeRateLimited] != 30 {
		t.Errorf("answers %v", got)
	}
	_, _, err := a.Login(t.Context(), cloud.Caller{Via: "login", Address: home.String()}, start, "ada", right)
	wantCode(t, err, cloud.CodeLockedOut)
	if _, _, err = a.Login(t.Context(), cloud.Caller{Via: "login", Address: home.String()}, start.Add(time.Minute), "ada", right); err != nil {
		t.Errorf("after a minute: %v", err)
	}
}
