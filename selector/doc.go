// Package selector matches Kubernetes labels against label selectors and node
// selectors. (stub)
package selector
