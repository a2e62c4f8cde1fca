//go:build race

package etcdapi

const manyWatches = 5_000
