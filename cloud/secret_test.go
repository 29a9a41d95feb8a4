package cloud_test

import (
	"strings"
	"testing"

	"lodge/cloud"
)

func TestSecretsAreMasked(t *testing.T) {
	digits := strings.Repeat("ab12", 16)
	for _, s := range []string{
		"lodge_" + digits + "_00ff00ff", "LODGE_" + digits, "Lodge_ab12", "lodge%5Fab12", "lodge%5fab12", "lodge%255Fab12",
		digits, strings.ToUpper(digits), digits[:32], "lodge_",
	} {
		for _, around := range []string{"", "/", " x "} {
			if got, want := cloud.MaskSecrets(around+s+around), around+"lodge_***"+around; got != want {
				t.Errorf("%q: %q, want %q", around+s+around, got, want)
			}
		}
	}
	for _, s := range []string{"", "ada", "lodge", "lodge-1", "/v1/instances/0190b3a2-7c4f-7d61-9f10-0123456789ab", digits[:31]} {
		if got := cloud.MaskSecrets(s); got != s {
			t.Errorf("%q: %q", s, got)
		}
	}
}
