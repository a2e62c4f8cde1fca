// Package resource counts resources exactly, in the notation of Kubernetes.
//
// # Problem
//
// Manifests say 1.5Gi, 1500m, 1e3. A program has to read those texts, compare
// and add them without rounding, and print the one form that everybody else
// prints, for any input and without a cost that the input can choose.
//
// # Terms
//
//   - Quantity: an exact amount with the notation in which it is printed.
//   - Notation (Format): DecimalSI (12M), BinarySI (12Mi), DecimalExponent (12e6).
//   - Canonical form: the one text of an amount in a notation. Its mantissa is
//     whole and the suffix as large as that allows.
//   - Nano: 10^-9, the finest amount. What is finer is rounded away from zero.
//   - List: an amount per resource name, as a map; Amounts: the same as a slice.
//
// # Algorithm
//
// A Quantity is a count of nanos in a 192-bit integer (fixed point). So
// comparison is a comparison of three words and addition an addition with
// carry, whatever the suffixes were; there is no scale to align and nothing to
// promote. Parsing multiplies the digits with a power of ten or shifts them by a
// power of two, in time linear in the text: exponents only move the point, and
// digits far below a nano only matter in being zero or not. Short texts (18
// digits) take a path that stays in one word until the end. Printing divides by
// 1000 while that leaves no remainder, or shifts out factors of 1024.
//
// # Data layout
//
//	Quantity (32 bytes, no pointers)
//	┌──────────────┬──────────────┬──────────────┬────────┐
//	│ hi (64 bits) │ mid          │ lo           │ format │
//	└──────────────┴──────────────┴──────────────┴────────┘
//	 two's complement count of nanos, |n| < 2^191 (3.1e48)
//
// # Guarantees
//
// Quantities are immutable values: any number of goroutines may share them.
// Parsing, arithmetic, comparison, the accessors and AppendText allocate
// nothing (errors excepted); String and MarshalJSON allocate their result. Arithmetic never
// overflows silently: the plain methods (Add, Value) saturate, their Checked
// twins report. Lists are maps: whoever changes one must be alone with it.
//
// # Differences from upstream
//
// Upstream is k8s.io/apimachinery/pkg/api/resource v0.36.3.
//
// Differs: magnitudes end at 2^191 nanos; beyond that Parse returns ErrRange,
// where upstream goes on, or computes for minutes.
//
// Differs: exponents keep all their bits: 1e4294967296 is out of range and
// 1e-4294967297 rounds to a nano, where upstream cuts exponents to 32 bits.
//
// Differs: String always gives the canonical form. Upstream prints back some
// texts as they were parsed: 1., +1, 1E3, 1.500.
//
// Differs: above E upstream loses the factor (1000E prints as 1); here the
// mantissa grows (1000E). The same holds above Ei for sums of binary amounts.
//
// Differs: Value, MilliValue and ScaledValue saturate and always round away from
// zero. Upstream wraps silently outside int64, and rounds negative amounts that
// it holds in its big form towards +infinity (kubernetes#138510).
//
// Differs: Neg and Sub are exact for the smallest int64, which upstream's fast
// form negates into itself.
//
// Differs: decoding null sets the quantity to 0 in DecimalSI, where upstream
// keeps the notation and the cached text of the old value.
//
// # Sources
//
// Kubernetes API conventions on quantities; apimachinery v0.36.3;
// kubernetes#138510, #141166 (saturating accessors), #131063 (exponents).
//
// # Reading order
//
// quantity.go (the type), wide.go (192-bit integers), parse.go (parseLong is the
// plain form, parseShort the fast one), text.go, list.go, amounts.go;
// plain_test.go is the same in exact rational numbers.
package resource
