//go:build !race

package etcdapi

const manyWatches = 100_000
