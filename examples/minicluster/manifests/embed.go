// Package manifests is the default input of the example: a shop of some twenty
// services on ten nodes.
package manifests

import "embed"

// Files are the manifests.
//
//go:embed *.yaml
var Files embed.FS
