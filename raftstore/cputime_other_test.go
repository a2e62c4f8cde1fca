//go:build !unix

package raftstore

import "time"

func cpuTime() time.Duration { return 0 }
