package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// SecretBytes is the length of a secret; Standard Webhooks asks for 24 to 64.
const SecretBytes = 32

// SecretText is a secret as it is shown and as libraries take it.
func SecretText(secret []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(secret) }

// Headers are what goes with a message: its id, when it was sent, and the
// signatures of both with the body, one by each secret. Whoever knows one of the
// secrets finds its own among them.
func Headers(secrets [][]byte, id string, at time.Time, body string) map[string]string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + stamp + "." + body))
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return map[string]string{
		"Content-Type":      "application/cloudevents+json; charset=utf-8",
		"Webhook-Id":        id,
		"Webhook-Timestamp": stamp,
		"Webhook-Signature": strings.Join(signatures, " "),
	}
}
