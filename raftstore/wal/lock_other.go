//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package wal

import (
	"errors"
	"io"
)

func (osFS) Lock(string) (io.Closer, error) {
	return nil, errors.New("wal: this operating system has no file locks that end with the process")
}
