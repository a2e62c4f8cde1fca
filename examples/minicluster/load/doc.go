// Package load reads manifests: YAML streams, JSON, and the Lists that kubectl get
// -o json prints. It reads everything before anything is used, checks every object
// of a known kind against its type, and reports the first mistake by file, document,
// field and value. Inputs may be hostile: sizes, depths and YAML aliases are bounded.
//
// Reading order: load.go (files to objects), document.go (text to trees), alias.go
// (the bound on YAML bombs), schema.go (trees against types), error.go.
package load
