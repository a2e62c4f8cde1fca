package main

import (
	"errors"
	"io/fs"
	"time"

	"github.com/orchcore/orchcore/qos"
)

// observeMachine measures the machine, and the cgroup of all pods if a kubelet
// has made one.
func observeMachine(now time.Time) (*qos.Summary, error) {
	for _, pods := range []string{"kubepods", "kubepods.slice"} {
		s, err := qos.LinuxNode{PodsCgroup: pods}.Summary(now)
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return qos.LinuxNode{}.Summary(now)
}
