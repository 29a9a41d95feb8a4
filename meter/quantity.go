package meter

import (
	"math/bits"
	"strconv"
)

// Quantity is an amount times milliseconds, exact up to 2^127: a thousand
// years of a million of the largest guests.
type Quantity struct{ hi, lo uint64 }

// Of is amount times ms. What is negative counts as zero.
func Of(amount, ms int64) Quantity {
	if amount <= 0 || ms <= 0 {
		return Quantity{}
	}
	hi, lo := bits.Mul64(uint64(amount), uint64(ms))
	return Quantity{hi, lo}
}

// Plus is the sum of both.
func (q Quantity) Plus(o Quantity) Quantity {
	lo, carry := bits.Add64(q.lo, o.lo, 0)
	hi, _ := bits.Add64(q.hi, o.hi, carry)
	return Quantity{hi, lo}
}

// minus is q without o, which is not more.
func (q Quantity) minus(o Quantity) Quantity {
	lo, borrow := bits.Sub64(q.lo, o.lo, 0)
	hi, _ := bits.Sub64(q.hi, o.hi, borrow)
	return Quantity{hi, lo}
}

// times is q n times.
func (q Quantity) times(n uint64) Quantity {
	hi, lo := bits.Mul64(q.lo, n)
	return Quantity{q.hi*n + hi, lo}
}

// Cmp is -1, 0 or 1 as q is less than, equal to or greater than o.
func (q Quantity) Cmp(o Quantity) int {
	switch {
	case q == o:
		return 0
	case q.hi < o.hi || (q.hi == o.hi && q.lo < o.lo):
		return -1
	}
	return 1
}

// IsZero reports whether nothing was used.
func (q Quantity) IsZero() bool { return q == Quantity{} }

// String is the whole number in decimal.
func (q Quantity) String() string {
	if q.hi == 0 {
		return strconv.FormatUint(q.lo, 10)
	}
	const chunk = 1e19
	rest, low := q.div(chunk)
	tail := strconv.FormatUint(low, 10)
	return rest.String() + "0000000000000000000"[len(tail):] + tail
}

// div divides by d and gives the remainder.
func (q Quantity) div(d uint64) (Quantity, uint64) {
	hi, rem := q.hi/d, q.hi%d
	lo, rem := bits.Div64(rem, q.lo, d)
	return Quantity{hi, lo}, rem
}

// The number of milliseconds times units that make one of what is billed.
const (
	PerHour    = 3_600_000        // of instances, vCPUs, GiB
	PerGiBHour = 1024 * 3_600_000 // of MiB

	perGB = 1_000_000_000 // of bytes
)

// Decimals is the number of decimal places of Hours.
const Decimals = 6

// Hours is q divided by per, as decimal text with Decimals places, rounded half
// to even. per is PerHour or PerGiBHour.
func (q Quantity) Hours(per uint64) string {
	const scale = 1_000_000 // 10^Decimals
	whole, rem := q.div(per)
	hi, lo := bits.Mul64(rem, scale) // rem < per < 2^42, so the quotient fits
	frac, rem := bits.Div64(hi, lo, per)
	if twice := rem * 2; twice > per || (twice == per && frac%2 == 1) {
		frac++
	}
	if frac == scale {
		whole, frac = whole.Plus(Quantity{0, 1}), 0
	}
	digits := strconv.FormatUint(frac, 10)
	return whole.String() + "." + "000000"[len(digits):] + digits
}

// mulDiv is a x b / c with the remainder; the quotient has to fit.
func mulDiv(a, b, c uint64) (quotient, rest uint64) {
	hi, lo := bits.Mul64(a, b)
	return bits.Div64(hi, lo, c)
}
