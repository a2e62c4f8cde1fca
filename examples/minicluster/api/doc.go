// Package api holds the objects that the parts of the small control plane share.
//
// Every type is a view: it names the fields that some controller reads and leaves
// the others alone. Objects live in the store as the JSON they came with; a change
// is made by merging a patch into that JSON (see Merge), never by printing a view,
// so fields that no view knows survive.
//
// Reading order: kind.go (which kinds exist and where they are stored), meta.go,
// pod.go, node.go, workload.go, service.go, patch.go.
package api
