package scheduler

import (
	"fmt"
	"strconv"
	"strings"
)

// maxKubeletSkew is how many minor versions a kubelet may be older than the
// API server (since 1.28).
const maxKubeletSkew = 3

// SkewError says that a node's version does not go with the control plane's.
type SkewError struct {
	Kubelet, Server string
	Reason          string
}

// Error names both versions and the rule.
func (e *SkewError) Error() string {
	return fmt.Sprintf("kubelet %s with API server %s: %s", e.Kubelet, e.Server, e.Reason)
}

// CheckSkew applies Kubernetes' version skew policy to a node: its kubelet must
// not be newer than the API server and at most three minor versions older.
// During an upgrade of several API servers the oldest one counts for "newer"
// and the newest for "older": check against both. It returns a *SkewError.
func CheckSkew(kubelet, server string) error {
	fault := func(reason string) error { return &SkewError{kubelet, server, reason} }
	km, kn, ok := minorVersion(kubelet)
	if !ok {
		return fault("the kubelet's version is not vMAJOR.MINOR…")
	}
	sm, sn, ok := minorVersion(server)
	if !ok {
		return fault("the API server's version is not vMAJOR.MINOR…")
	}
	switch {
	case km != sm:
		return fault("the major versions differ")
	case kn > sn:
		return fault("the kubelet is newer")
	case sn-kn > maxKubeletSkew:
		return fault(fmt.Sprintf("the kubelet is %d minor versions older, %d are allowed", sn-kn, maxKubeletSkew))
	}
	return nil
}

// minorVersion reads major and minor of v1.36.3, 1.36 or v1.36.0-beta.1+abc.
func minorVersion(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	if i := strings.IndexAny(parts[1], "-+"); i >= 0 {
		parts[1] = parts[1][:i]
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil || major < 0 {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(parts[1])
	return major, minor, err == nil && minor >= 0
}
