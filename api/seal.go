package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// derived is a key for one purpose, made from a client's own. What lodge keeps
// of that, its hash, does not lead here.
func derived(key, purpose string) []byte {
	k, err := hkdf.Key(sha256.New, []byte(key), nil, "lodge idempotency "+purpose, 32)
	if err != nil {
		panic(err) // the length is constant and short enough
	}
	return k
}

func sealer(key string) cipher.AEAD {
	b, err := aes.NewCipher(derived(key, "answer"))
	if err != nil {
		panic(err) // the key has the right length
	}
	g, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		panic(err) // AES has the right block
	}
	return g
}

// seal encrypts an answer for whoever knows the client's key. It is text, as the
// answers beside it are.
func seal(key string, body []byte) []byte {
	return []byte(base64.StdEncoding.EncodeToString(sealer(key).Seal(nil, nil, body, nil)))
}

// unseal gives back what seal took. It fails for another key, and for what was
// changed.
func unseal(key string, text []byte) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return nil, fmt.Errorf("kept answer: %w", err)
	}
	body, err := sealer(key).Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("kept answer: %w", err)
	}
	return body, nil
}
