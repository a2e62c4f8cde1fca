//go:build race

package raftstore

const simSeedsDefault = 6
