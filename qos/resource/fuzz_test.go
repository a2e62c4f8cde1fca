package resource

import (
	"math/big"
	"testing"
)

// FuzzParse: the fast form agrees with exact rationals wherever those are
// affordable, and nothing makes it panic or run long.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "0", "1.5Gi", "-0.1n", "1e3", "8Ei", "1e2147483648", "2E6024865272343", ".Ei", "+.e-10",
		"9223372036854775807E", "0.0000000001Ki", "1.", "K", "1KiB", "1e+", "--1", "3138550867693340381917894711603833208051177722232017256448n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m := plainShape.FindStringSubmatch(s); m != nil {
			if e := plainExponent.FindStringSubmatch(m[4]); e != nil {
				exp, _ := new(big.Int).SetString(e[1], 10)
				if new(big.Int).Abs(exp).Cmp(big.NewInt(500)) > 0 {
					q, err := Parse(s)
					if err == nil && len(q.String()) > 80 {
						t.Fatalf("%q prints %d bytes", s, len(q.String()))
					}
					return
				}
			}
		}
		checkAgainstPlain(t, s)
	})
}
