// Package node simulates the kubelets: they register nodes, start the pods that
// are bound to them, report readiness, stop pods that are to end, and send
// heartbeats. Nothing runs; time passes faster than on real nodes.
//
// Reading order: kubelet.go (what becomes of one pod), fleet.go (all nodes as one
// controller), address.go, heartbeat.go.
package node
