// Package scheduler holds orchcore's scheduler package against kube-scheduler.
package scheduler
