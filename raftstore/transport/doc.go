// Package transport carries frames between the members of a cluster.
package transport
