package cloud

import "regexp"

// SecretPrefix begins every token.
const SecretPrefix = "lodge_"

// secret is what may be a token, or a part of one: with its prefix, also as a URL
// has it, or so many hexadecimal digits.
var secret = regexp.MustCompile(`(?i)(lodge(?:_|%(?:25)*5f)|[0-9a-f]{32})[0-9a-z_%]*`)

// MaskSecrets is text that somebody wrote, for a log, without what may be a token
// that was pasted into it.
func MaskSecrets(text string) string { return secret.ReplaceAllString(text, SecretPrefix+"***") }
