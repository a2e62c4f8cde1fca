package scheduler

import (
	"fmt"
	"strconv"
	"strings"
)

// SkewError says that a component's version does not go with an API server's.
type SkewError struct {
	Component string
	Version   string
	Server    string
	Reason    string
}

// Error names both versions and the rule.
func (e *SkewError) Error() string {
	return fmt.Sprintf("%s %s with API server %s: %s", e.Component, e.Version, e.Server, e.Reason)
}

// skewOf returns how many minor versions a component may be older and newer
// than an API server that it talks to (version skew policy, since 1.28).
func skewOf(component string) (older, newer int, ok bool) {
	switch component {
	case "kubelet", "kube-proxy":
		return 3, 0, true
	case "kube-controller-manager", "kube-scheduler", "cloud-controller-manager":
		return 1, 0, true
	case "kubectl", "kube-apiserver":
		return 1, 1, true
	}
	return 0, 0, false
}

// CheckSkew applies Kubernetes' version skew policy to a node's kubelet; see
// CheckComponentSkew.
func CheckSkew(kubelet, server string) error { return CheckComponentSkew("kubelet", kubelet, server) }

// CheckComponentSkew applies Kubernetes' version skew policy: a kubelet or
// kube-proxy must not be newer than the API server and at most three minor
// versions older, controller managers and schedulers at most one, kubectl and
// other API servers may be one older or newer. During an upgrade of several API
// servers the oldest one counts for "newer" and the newest for "older": check
// against both. It returns a *SkewError.
func CheckComponentSkew(component, version, server string) error {
	fault := func(reason string) error { return &SkewError{component, version, server, reason} }
	older, newer, ok := skewOf(component)
	if !ok {
		return fault("the policy knows no such component")
	}
	km, kn, ok := minorVersion(version)
	if !ok {
		return fault("the " + component + "'s version is not vMAJOR.MINOR…")
	}
	sm, sn, ok := minorVersion(server)
	if !ok {
		return fault("the API server's version is not vMAJOR.MINOR…")
	}
	switch {
	case km != sm:
		return fault("the major versions differ")
	case kn > sn && newer == 0:
		return fault("the " + component + " is newer")
	case kn-sn > newer:
		return fault(fmt.Sprintf("the %s is %d minor versions newer, %d are allowed", component, kn-sn, newer))
	case sn-kn > older:
		return fault(fmt.Sprintf("the %s is %d minor versions older, %d are allowed", component, sn-kn, older))
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
