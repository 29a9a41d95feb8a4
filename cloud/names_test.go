package cloud

import "testing"

func TestNamesThatDHCPMisreadsAreRefused(t *testing.T) {
	for _, name := range []string{"3600", "12h", "7", "1w", "infinite", "ignore"} {
		if len(ValidateName("name", name)) == 0 {
			t.Errorf("%q is taken", name)
		}
	}
	for _, name := range []string{"web1", "h", "12hh", "1a", "vm-12h", "infinite1"} {
		if e := ValidateName("name", name); len(e) != 0 {
			t.Errorf("%q is refused: %v", name, e)
		}
	}
}
