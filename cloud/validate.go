package cloud

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of what a request may ask for.
const (
	MinVCPUs, MaxVCPUs         = 1, 256
	MinMemoryMiB, MaxMemoryMiB = 64, 4 << 20 // 4 TiB
	MinDiskGiB, MaxDiskGiB     = 1, 64 << 10 // 64 TiB
	MaxName                    = 63
	MaxImageName               = 128
	MaxLabels                  = 64
	MaxUserData                = 64 << 10
	MaxSSHKeys                 = 32
	MaxSSHKey                  = 16 << 10
	MaxURL                     = 2048
	MaxLoginUser               = 32
)

func fieldError(field, format string, args ...any) []FieldError {
	return []FieldError{{Field: field, Message: fmt.Sprintf(format, args...)}}
}

// Invalid is the error for fields that are outside their rules, nil for none.
func Invalid(fields []FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	msg := fields[0].Message
	if len(fields) > 1 {
		msg = fmt.Sprintf("%d fields are not valid.", len(fields))
	}
	return &Error{Code: CodeInvalid, Message: msg, Fields: fields}
}

// IsUUID reports whether s is a UUID as lodge writes them: 36 characters, lower
// case, four hyphens.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !isDigit(c) && !(c >= 'a' && c <= 'f'):
			return false
		}
	}
	return true
}

// ValidateName checks the name of an instance: the guest's host name and its
// name in DHCP, so a label of RFC 1123.
func ValidateName(field, name string) []FieldError {
	switch {
	case name == "":
		return fieldError(field, "A name is required, such as \"web1\".")
	case len(name) > MaxName:
		return fieldError(field, "A name has at most %d characters; this one has %d.", MaxName, utf8.RuneCountInString(name))
	case strings.Trim(name, "-") != name:
		return fieldError(field, "The name %s begins or ends with a hyphen.", quoteShort(name))
	case IsUUID(strings.ToLower(name)):
		return fieldError(field, "The name %s has the form of an id.", quoteShort(name))
	case isLeaseTime(name):
		return fieldError(field, "The name %s is one that DHCP takes for a lease time; put a word in front, as in \"vm-%s\".", quoteShort(name), name)
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '-' {
			return fieldError(field, "The name %s may hold only a-z, 0-9 and hyphens, as a host name does.", quoteShort(name))
		}
	}
	return nil
}

// isLeaseTime reports whether dnsmasq reads a host's name as its lease time:
// a number, also with a unit, or one of two words. dnsmasq(8), --dhcp-host.
func isLeaseTime(name string) bool {
	if name == "infinite" || name == "ignore" {
		return true
	}
	digits := strings.TrimLeft(name, "0123456789")
	return digits == "" || (len(digits) == 1 && len(name) > 1 && strings.Contains("smhdw", digits))
}

// ValidateTenantName checks the name of a tenant, which people also write in
// URLs: letters, digits, dots, hyphens and underscores.
func ValidateTenantName(field, name string) []FieldError {
	return validateWord(field, "A tenant's name", name, MaxName)
}

// ValidateFlavorID checks the id of a flavor, such as "c2-m4".
func ValidateFlavorID(field, id string) []FieldError {
	return validateWord(field, "A flavor's id", id, MaxName)
}

func validateWord(field, what, s string, most int) []FieldError {
	switch {
	case s == "":
		return fieldError(field, "%s is required.", what)
	case len(s) > most:
		return fieldError(field, "%s has at most %d characters; this one has %d.", what, most, utf8.RuneCountInString(s))
	case IsUUID(strings.ToLower(s)):
		return fieldError(field, "%s must not have the form of a UUID.", what)
	case !alphanumericEnds(s) || !onlyWordBytes(s):
		return fieldError(field, "%s holds only letters, digits, \".\", \"_\" and \"-\", and begins and ends with a letter or digit; %s does not.", what, quoteShort(s))
	}
	return nil
}

func alphanumericEnds(s string) bool {
	ok := func(c byte) bool { return isDigit(c) || isLetter(c|0x20) }
	return ok(s[0]) && ok(s[len(s)-1])
}

func onlyWordBytes(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isDigit(c) && !isLetter(c|0x20) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// ValidateImageName checks the name of an image: free text of one line.
func ValidateImageName(field, name string) []FieldError {
	return validateText(field, "an image", "debian-12", name)
}

// ValidateTokenName checks the name of a token: as that of an image.
func ValidateTokenName(field, name string) []FieldError {
	return validateText(field, "a token", "ci", name)
}

func validateText(field, noun, example, name string) []FieldError {
	switch {
	case name == "":
		return fieldError(field, "A name is required, such as %q.", example)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fieldError(field, "The name of %s is printable text of one line.", noun)
	case utf8.RuneCountInString(name) > MaxImageName:
		return fieldError(field, "The name of %s has at most %d characters; this one has %d.", noun, MaxImageName, utf8.RuneCountInString(name))
	case strings.TrimSpace(name) != name:
		return fieldError(field, "The name %s begins or ends with a space.", quoteShort(name))
	case IsUUID(strings.ToLower(name)):
		return fieldError(field, "The name %s has the form of an id.", quoteShort(name))
	}
	return nil
}

// ValidateLabels checks labels as Kubernetes spells them: keys "name" or
// "domain/name", values of at most 63 characters.
func ValidateLabels(field string, labels map[string]string) []FieldError {
	if len(labels) > MaxLabels {
		return fieldError(field, "An object has at most %d labels; these are %d.", MaxLabels, len(labels))
	}
	var out []FieldError
	for k, v := range labels {
		out = append(out, ValidateLabel(field, k, v)...)
	}
	slices.SortFunc(out, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
	return out
}

// ValidateLabel checks one label.
func ValidateLabel(field, key, value string) []FieldError {
	at := field + "[" + quoteShort(key) + "]"
	prefix, name, slash := strings.Cut(key, "/")
	if !slash {
		prefix, name = "", key
	}
	if name == "" || len(name) > 63 || !onlyWordBytes(name) || !alphanumericEnds(name) {
		return fieldError(at, "The name of a label has 1 to 63 letters, digits, \".\", \"_\" and \"-\", and begins and ends with a letter or digit.")
	}
	if slash && (prefix == "" || len(prefix) > 253 || !onlyWordBytes(prefix) || !alphanumericEnds(prefix)) {
		return fieldError(at, "What stands before the \"/\" of a label is a domain name of at most 253 characters.")
	}
	if value != "" && (len(value) > 63 || !onlyWordBytes(value) || !alphanumericEnds(value)) {
		return fieldError(at, "The value of a label has at most 63 letters, digits, \".\", \"_\" and \"-\", and begins and ends with a letter or digit.")
	}
	return nil
}

// ValidateVCPUs checks a number of vCPUs.
func ValidateVCPUs(field string, n int) []FieldError {
	return validateRange(field, "vCPUs", n, MinVCPUs, MaxVCPUs)
}

// ValidateMemoryMiB checks an amount of memory.
func ValidateMemoryMiB(field string, n int) []FieldError {
	return validateRange(field, "MiB of memory", n, MinMemoryMiB, MaxMemoryMiB)
}

// ValidateDiskGiB checks the size of a disk.
func ValidateDiskGiB(field string, n int) []FieldError {
	return validateRange(field, "GiB of disk", n, MinDiskGiB, MaxDiskGiB)
}

func validateRange(field, what string, n, least, most int) []FieldError {
	if n < least || n > most {
		return fieldError(field, "A guest has %d to %d %s; %d is outside of that.", least, most, what, n)
	}
	return nil
}

// userDataStarts are the first words by which cloud-init knows what it was given.
var userDataStarts = []string{
	"#cloud-config", "#!", "## template: jinja", "#include", "#cloud-boothook",
	"#part-handler", "#upstart-job", "Content-Type: multipart/", "MIME-Version:",
}

// ValidateUserData checks user data for cloud-init: its length, that it is
// text, and that cloud-init would know what it is.
func ValidateUserData(field, data string) []FieldError {
	switch {
	case data == "":
		return nil
	case len(data) > MaxUserData:
		return fieldError(field, "User data has at most %d bytes; these are %d.", MaxUserData, len(data))
	case !utf8.ValidString(data) || strings.ContainsRune(data, 0):
		return fieldError(field, "User data is UTF-8 text.")
	}
	for _, start := range userDataStarts {
		if len(data) >= len(start) && strings.EqualFold(data[:len(start)], start) {
			return nil
		}
	}
	return fieldError(field, "User data begins with a line that cloud-init knows, such as \"#cloud-config\" or \"#!/bin/sh\".")
}

// ValidateSHA256 checks a checksum; "" is one that is not known.
func ValidateSHA256(field, sum string) []FieldError {
	if sum == "" {
		return nil
	}
	ok := len(sum) == 64
	for i := range len(sum) {
		ok = ok && (isDigit(sum[i]) || (sum[i]|0x20 >= 'a' && sum[i]|0x20 <= 'f'))
	}
	if !ok {
		return fieldError(field, "A SHA-256 checksum has 64 hexadecimal digits.")
	}
	return nil
}

// ValidateFirmware checks a firmware; "" is the default.
func ValidateFirmware(field string, f Firmware) []FieldError {
	switch f {
	case "", FirmwareBIOS, FirmwareUEFI:
		return nil
	}
	return fieldError(field, "The firmware is %q or %q.", FirmwareBIOS, FirmwareUEFI)
}

// ValidateLoginUser checks the login an image makes; "" is one that is not known.
func ValidateLoginUser(field, user string) []FieldError {
	ok := len(user) <= MaxLoginUser
	for i := range len(user) {
		c := user[i]
		ok = ok && (isLetter(c) || c == '_' || (i > 0 && (isDigit(c) || c == '-' || c == '.')))
	}
	if !ok {
		return fieldError(field, "A login has at most %d of a-z, 0-9, \"_\", \"-\" and \".\", and begins with a letter.", MaxLoginUser)
	}
	return nil
}

// CheckURL says whether an image may be fetched from raw: http or https, no
// password inside, and no host that is plainly this machine or a private
// network. What a name resolves to is checked where it is dialled, with
// PublicAddr. Returns CodeInvalid for what is no URL, CodeURLRefused else.
func CheckURL(raw string) error {
	if len(raw) > MaxURL {
		return Invalid(fieldError("url", "A URL has at most %d characters; this one has %d.", MaxURL, len(raw)))
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return Invalid(fieldError("url", "This is not a URL: %s.", quoteShort(raw)))
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return urlRefused("Images are fetched by http and https only, not by %s.", quoteShort(u.Scheme))
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case host == "" || u.Opaque != "":
		return Invalid(fieldError("url", "The URL names no host: %s.", quoteShort(raw)))
	case u.User != nil:
		return urlRefused("A URL with a user name or password in it is not kept; use one without.")
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		return urlRefused("The URL points to this host itself, which is not allowed: %s.", quoteShort(host))
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && !PublicAddr(addr) {
		return urlRefused("The URL points to an address that is not public, which is not allowed: %s.", host)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if err != nil && last != "" && (isDigit(last[0])) {
		// "127.1" and "0x7f000001" are addresses to some resolvers.
		return urlRefused("The URL's host is neither a name nor a plain address: %s.", quoteShort(host))
	}
	return nil
}

func urlRefused(format string, args ...any) error {
	e := Errorf(CodeURLRefused, format, args...)
	e.Fields = []FieldError{{Field: "url", Message: e.Message}}
	return e
}

var privateRanges = func() (out []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "192.88.99.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// PublicAddr reports whether an address belongs to the open Internet: neither
// this host, nor its link, nor a private or reserved range, nor a range that
// carries an IPv4 address inside.
func PublicAddr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	return !slices.ContainsFunc(privateRanges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ValidateUserName checks the name a user logs in with: as a tenant's, or an
// e-mail address.
func ValidateUserName(field, name string) []FieldError {
	if strings.Contains(name, "@") {
		return ValidateEmail(field, name)
	}
	return validateWord(field, "A user's name", name, MaxName)
}

// ValidateEmail checks that an address could be one; "" is none.
func ValidateEmail(field, email string) []FieldError {
	if email == "" {
		return nil
	}
	local, domain, ok := strings.Cut(email, "@")
	if !ok || local == "" || domain == "" || len(email) > 254 || strings.ContainsAny(email, " \t\r\n<>\",;") || strings.Contains(domain, "@") {
		return fieldError(field, "The e-mail address is not one.")
	}
	if !utf8.ValidString(email) || strings.ContainsFunc(email, unicode.IsControl) {
		return fieldError(field, "The e-mail address has a character that no address has.")
	}
	return nil
}
