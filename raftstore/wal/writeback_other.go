//go:build !linux || (!amd64 && !arm64)

package wal

import "os"

func writeBack(*os.File, int64, int64) error { return nil }
