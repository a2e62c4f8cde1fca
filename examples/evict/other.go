//go:build !linux

package main

import (
	"errors"
	"io"
	"time"

	"github.com/orchcore/orchcore/qos"
)

var errNotLinux = errors.New("this system cannot be measured (it is not Linux): describe a node with -f")

func observeMachine(time.Time) (*qos.Summary, error) { return nil, errNotLinux }

func live(io.Writer) error { return errNotLinux }

func hog(string) {}
