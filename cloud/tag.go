package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// AnyTag is the tag in Caller.IfMatch that every object has that is there.
const AnyTag = "*"

// Expects returns CodePrecondition when the caller has read another version of
// the object than the one that has the tag; "" is the tag of what is not there.
func (c Caller) Expects(tag string) error {
	switch {
	case len(c.IfMatch) == 0, tag != "" && (slices.Contains(c.IfMatch, tag) || slices.Contains(c.IfMatch, AnyTag)):
		return nil
	case tag == "":
		return Errorf(CodePrecondition, "It is not there, and the request is bound to one that is; leave If-Match out to make it.")
	}
	return Errorf(CodePrecondition, "It has changed since you read it (its tag is %s now); read it again and repeat the change.", tag)
}

// Tag names a version of an object: the revision, which no two versions of an id
// have in common.
func (m Meta) Tag() string { return strconv.FormatInt(m.Revision, 10) }

// Tag names a version of a user. A name can be somebody else's later, whose
// revisions begin anew: so it has the age in it.
func (u User) Tag() string { return dated(u.CreatedAt, u.Revision) }

// Tag names a version of a membership, which may have ended and begun again.
func (m Membership) Tag() string { return dated(m.CreatedAt, m.Revision) }

// Tag names a version of a flavor. It never changes, but another one may come to
// have its id.
func (f Flavor) Tag() string {
	return dated(f.CreatedAt, int64(f.VCPUs), int64(f.MemoryMiB), int64(f.DiskGiB))
}

func dated(t time.Time, numbers ...int64) string {
	out := strconv.FormatInt(t.UnixMilli(), 36)
	for _, n := range numbers {
		out += "-" + strconv.FormatInt(n, 10)
	}
	return out
}

// QuotasTag names a version of the limits of a tenant or of the installation. How
// much is used is not in it: a busy tenant's limits could not be changed else.
func QuotasTag(quotas []Quota) string {
	h := sha256.New()
	for _, q := range quotas {
		fmt.Fprintf(h, "%s %d %t\n", q.Resource, q.Limit, q.Default)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
