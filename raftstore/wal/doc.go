// Package wal is the write-ahead log of a Raft member.
package wal
