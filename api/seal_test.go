package api

import (
	"bytes"
	"testing"
)

func TestASealedAnswerIsForItsKeyAlone(t *testing.T) {
	body := []byte(`{"secret":"lodge_x"}`)
	sealed := seal("0b4dd5a8-0bb1-4b8f-b1a4-0f0a1f8b4a11", body)
	if bytes.Contains(sealed, []byte("secret")) || bytes.Equal(sealed, seal("0b4dd5a8-0bb1-4b8f-b1a4-0f0a1f8b4a11", body)) {
		t.Errorf("sealed: %s", sealed)
	}
	if got, err := unseal("0b4dd5a8-0bb1-4b8f-b1a4-0f0a1f8b4a11", sealed); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%s, %v", got, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)/2] ^= 1
	for name, text := range map[string][]byte{"changed": changed, "short": sealed[:8], "no base64": []byte("!"), "empty": nil} {
		if got, err := unseal("0b4dd5a8-0bb1-4b8f-b1a4-0f0a1f8b4a11", text); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got, err := unseal("0b4dd5a8-0bb1-4b8f-b1a4-0f0a1f8b4a12", sealed); err == nil {
		t.Errorf("another key opens it: %s", got)
	}
}
