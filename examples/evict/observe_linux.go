package main

import (
	"time"

	"github.com/orchcore/orchcore/qos"
)

func observeMachine(now time.Time) (*qos.Summary, error) { return qos.LinuxNode{}.Summary(now) }
