package resource

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonicalText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0", "0"}, {"-0Ki", "0"}, {"1.5", "1500m"}, {"1000m", "1"}, {"0.1m", "100u"}, {"100.50", "100500m"},
		{"0.1n", "1n"}, {"-0.0000000001", "-1n"}, {"1e20", "100e18"}, {"1E3", "1e3"}, {"1E", "1E"},
		{"0.5Ki", "512"}, {"1.1Ki", "1126400m"}, {"1536Mi", "1536Mi"}, {"1.5Gi", "1536Mi"}, {"1024Ki", "1Mi"},
		{"1Ki", "1Ki"}, {"1000Ki", "1000Ki"}, {"8Ei", "9223372036854775807"}, {"-8Ei", "-9223372036854775807"},
		{"1000E", "1000E"}, {"10000E", "10000E"}, {"9223372036854775807E", "9223372036854775807E"},
		{"0.0001Ki", "102400u"}, {"0.00000000001Ki", "11n"}, {"+1", "1"}, {"1.", "1"}, {".5", "500m"},
		{"1e-1000000000", "1e-9"}, {"0e99999999", "0"}, {"12345678901234567890123", "12345678901234567890123"},
		{"340282366920938463463374607431768211456", "340282366920938463463374607431768211456"},
		{"+", "0"}, {"-", "0"}, {".", "0"}, {"-.", "0"}, {"Ki", "0"}, {"m", "0"}, {"Ti", "0"},
	} {
		q, err := Parse(c.in)
		require.NoError(t, err, c.in)
		require.Equal(t, c.want, q.String(), c.in)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", ErrFormat}, {" 1", ErrFormat}, {"1 ", ErrFormat}, {"1.2.3", ErrFormat}, {"1x", ErrFormat}, {"--1", ErrSuffix},
		{"1K", ErrSuffix}, {"1ki", ErrSuffix}, {"1i", ErrSuffix}, {"1KiB", ErrFormat}, {"1e", ErrSuffix}, {"1e+", ErrSuffix},
		{"1m5", ErrSuffix}, {"1e99999999999999999999", ErrSuffix}, {"Pi", ErrNumeric}, {".Ei", ErrNumeric}, {"e-10", ErrNumeric},
		{"1e49", ErrRange}, {"1e2147483648", ErrRange}, {"2E6024865272343", ErrRange}, {"1e4294967296", ErrRange},
	} {
		_, err := Parse(c.in)
		require.ErrorIs(t, err, c.want, c.in)
		var perr *ParseError
		require.ErrorAs(t, err, &perr)
		require.Equal(t, c.in, perr.Value)
	}
}
