// Package proxyrules compiles Services and EndpointSlices into the rules of a
// service proxy: what kube-proxy does on a node, as a library.
package proxyrules
