// Package resource counts resources exactly, in the notation of Kubernetes.
package resource
