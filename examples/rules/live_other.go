//go:build !linux

package main

import (
	"errors"
	"io"

	"github.com/orchcore/orchcore/proxyrules"
)

func live(io.Writer, proxyrules.Mode) error {
	return errors.New("-live needs Linux: network namespaces, nft or iptables")
}
