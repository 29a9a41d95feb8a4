package daemon

import (
	"strings"
	"testing"
)

// Where everything that is said is kept, the first operator has no password that was said.
func TestNoPasswordGoesToTheJournal(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.OutIsKept = true })
	said := s.said.String()
	if !strings.Contains(said, "password     none yet") || !strings.Contains(said, "lodge user password operator") {
		t.Errorf("said:\n%s", said)
	}
	for _, password := range []string{"", "none", "none yet"} {
		if status, answer := s.call(s.client(), "POST", "/v1/sessions", "", `{"user":"operator","password":"`+password+`"}`); status < 400 {
			t.Errorf("logged in with %q: %d %v", password, status, answer)
		}
	}
}
