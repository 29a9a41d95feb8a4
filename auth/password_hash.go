package auth

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What a hash may ask for. It comes from the database, where a damaged or a forged
// one must not take the memory of the guests.
const (
	maxTime      = 16
	maxMemoryKiB = 256 << 10
	maxThreads   = 16
	minPart      = 8  // bytes of a salt or a key
	maxPart      = 64 // bytes of a salt or a key
	maxHash      = 256
)

// passwordHash is what a hash in the PHC string format says.
type passwordHash struct {
	cost      Cost
	salt, key []byte
}

func (c Cost) bounded() Cost {
	if c.Time == 0 {
		c.Time = DefaultCost.Time
	}
	if c.MemoryKiB == 0 {
		c.MemoryKiB = DefaultCost.MemoryKiB
	}
	if c.Threads == 0 {
		c.Threads = DefaultCost.Threads
	}
	return Cost{Time: min(c.Time, maxTime), MemoryKiB: min(c.MemoryKiB, maxMemoryKiB), Threads: min(c.Threads, maxThreads)}
}

func (h passwordHash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.MemoryKiB, h.cost.Time, h.cost.Threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// readHash takes a hash apart that String has written, and no other.
func readHash(s string) (h passwordHash, ok bool) {
	parts := strings.Split(s, "$")
	if len(s) > maxHash || len(parts) != 6 {
		return h, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.cost.MemoryKiB, &h.cost.Time, &h.cost.Threads); err != nil {
		return h, false
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return h, false
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return h, false
	}
	fits := h.cost.bounded() == h.cost && fitsPart(h.salt) && fitsPart(h.key)
	// Scanf and base64 overlook what they do not expect; the prefix and the
	// version are compared here as well.
	return h, fits && h.String() == s
}

func fitsPart(b []byte) bool { return len(b) >= minPart && len(b) <= maxPart }
