package cloud

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code says to a program what went wrong. The list is closed: a client may
// switch over it, and a new code is an addition to the API.
type Code string

// The codes. Each comment says when it is returned.
const (
	CodeInvalid        Code = "invalid_request"        // a value is outside its rules; Fields names each one
	CodeMalformed      Code = "malformed_json"         // the body is not one JSON document of the expected shape
	CodeUnknownField   Code = "unknown_field"          // the body has a field the API does not know
	CodeTooLarge       Code = "body_too_large"         // the body is longer than the route takes
	CodeMediaType      Code = "unsupported_media_type" // the Content-Type is not one the route takes
	CodeMethod         Code = "method_not_allowed"     // the path exists, the method does not
	CodeNotFound       Code = "not_found"              // no such object, or none the caller may see
	CodeForbidden      Code = "forbidden"              // the caller may see the object and may not do this
	CodeUnauthorized   Code = "unauthorized"           // no credentials, or none that are good (any more)
	CodeLockedOut      Code = "locked_out"             // too many failed logins; Message says until when
	CodeQuota          Code = "quota_exceeded"         // the tenant's limit does not allow it; Quota says which
	CodeBudget         Code = "budget_exceeded"        // a budget does not allow it; Message says which
	CodePrecondition   Code = "precondition_failed"    // If-Match names another revision than the present one
	CodeKeyReused      Code = "idempotency_key_reused" // the key came before with another request
	CodeNameTaken      Code = "name_taken"             // another live object of the tenant has the name
	CodeInUse          Code = "in_use"                 // others still depend on the object
	CodeProtected      Code = "protected"              // the object must not be deleted until its protection is lifted
	CodeConflict       Code = "conflict"               // the object's state does not allow the change
	CodeCapacity       Code = "insufficient_capacity"  // no host has room for it
	CodeAddresses      Code = "addresses_exhausted"    // the subnet has no free address
	CodeNoImage        Code = "no_default_image"       // no image named and no default image exists
	CodeImageNotReady  Code = "image_not_ready"        // the image is not active (yet)
	CodeImageFormat    Code = "image_format"           // the bytes are neither raw nor qcow2 as claimed
	CodeImageUnsafe    Code = "image_unsafe"           // qcow2 with backing file, data file, encryption or unknown features
	CodeImageTooBig    Code = "image_too_big"          // the file or its virtual size is beyond the limit
	CodeImageTruncated Code = "image_truncated"        // fewer bytes arrived than were promised
	CodeChecksum       Code = "checksum_mismatch"      // the bytes do not have the promised sha256
	CodeURLRefused     Code = "url_refused"            // the URL's scheme or target is not allowed
	CodeURLFailed      Code = "url_failed"             // the URL did not give the bytes
	CodeDiskFull       Code = "disk_full"              // no space left where lodge keeps its bytes
	CodeRateLimited    Code = "rate_limited"           // too many requests
	CodeUnavailable    Code = "unavailable"            // lodge cannot answer now; try again
	CodeInternal       Code = "internal"               // a defect of lodge; the log has the cause

	// Codes seen on an object as its Problem rather than in an answer.
	CodeHypervisor     Code = "hypervisor_unavailable" // libvirt does not answer
	CodeClockStepped   Code = "clock_stepped"          // the wall clock is far ahead of lodge's time
	CodeStorage        Code = "storage_failed"         // the disk or seed could not be made or removed
	CodeNetwork        Code = "network_failed"         // the network or the address could not be set up
	CodeGuestFailed    Code = "guest_failed"           // libvirt refused to define or start the guest
	CodeGuestCrashed   Code = "guest_crashed"          // the guest ended by itself and not by a shutdown
	CodeGuestForeign   Code = "guest_foreign"          // a domain without lodge's mark has the guest's id or name
	CodeGuestPaused    Code = "guest_paused"           // the guest was paused, by an I/O error or by hand
	CodeDiskMissing    Code = "disk_missing"           // the root disk existed and is gone: repair would lose data
	CodeDiskReplaced   Code = "disk_replaced"          // the guest is defined on another file than its volume: repair would lose data
	CodeTimeout        Code = "timeout"                // a call to the host did not return in time
	CodeImportCanceled Code = "import_interrupted"     // lodged stopped while the bytes were arriving
)

// Codes returns every code, in the order of the documentation.
func Codes() []Code {
	return []Code{
		CodeInvalid, CodeMalformed, CodeUnknownField, CodeTooLarge, CodeMediaType, CodeMethod,
		CodeUnauthorized, CodeLockedOut, CodeQuota, CodeBudget, CodePrecondition, CodeKeyReused,
		CodeNotFound, CodeForbidden, CodeNameTaken, CodeInUse, CodeProtected, CodeConflict, CodeCapacity,
		CodeAddresses, CodeNoImage, CodeImageNotReady, CodeImageFormat, CodeImageUnsafe,
		CodeImageTooBig, CodeImageTruncated, CodeChecksum, CodeURLRefused, CodeURLFailed,
		CodeDiskFull, CodeRateLimited, CodeUnavailable, CodeInternal,
		CodeHypervisor, CodeClockStepped, CodeStorage, CodeNetwork, CodeGuestFailed, CodeGuestCrashed,
		CodeGuestForeign, CodeGuestPaused, CodeDiskMissing, CodeDiskReplaced, CodeTimeout, CodeImportCanceled,
	}
}

// ProblemCodes returns the codes that an object's problem may have. Each has its
// place in the runbook, docs/operations.md.
func ProblemCodes() []Code {
	return []Code{
		CodeHypervisor, CodeClockStepped, CodeTimeout, CodeStorage, CodeDiskFull, CodeNetwork, CodeGuestFailed, CodeGuestCrashed,
		CodeGuestPaused, CodeGuestForeign, CodeDiskMissing, CodeDiskReplaced, CodeInUse, CodeURLFailed, CodeURLRefused, CodeChecksum,
		CodeImageFormat, CodeImageUnsafe, CodeImageTooBig, CodeImageTruncated, CodeImportCanceled, CodeInternal,
	}
}

// FieldError says what is wrong with one field of a request.
type FieldError struct {
	Field   string // JSON path as the caller wrote it: "name", "ssh_keys[1]"
	Message string // a sentence with a stop
}

// Error is what crosses rooms: a code for programs, a sentence for people, and
// the cause for the operator's log. Message never holds the cause's text.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	Cause   error
	Quota   *QuotaExcess // of CodeQuota
	// RetryAfter is how long to wait before it is worth trying again; zero: the
	// code says enough.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Code, e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, " [%s: %s]", f.Field, f.Message)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error without a cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error with a cause. Returns nil when cause is nil.
func Wrap(code Code, cause error, format string, args ...any) error {
	if cause == nil {
		return nil
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// CodeOf gives the code of err: "" for nil, CodeInternal when err carries none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// MessageOf gives the sentence for people: that of the Error inside err, or a
// general one that leaks nothing.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "Something went wrong inside lodge; the log of lodged has the cause."
}

// Problem is what keeps an object from being as its owner wants it.
type Problem struct {
	Code     Code
	Message  string
	Since    time.Time // when this code was first seen in a row
	RetryAt  time.Time // when lodge tries again by itself; zero: it waits for a change
	Attempts int       // how often it was tried in a row
}

// Is reports whether there is a problem and it has the code.
func (p *Problem) Is(c Code) bool { return p != nil && p.Code == c }
