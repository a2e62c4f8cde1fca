// Package scheduler holds orchcore's scheduler package against kube-scheduler:
// which nodes a pod fits on and why not on the others, every plugin's score on
// every node, the node that is taken, the text of the failure and what
// preemption could do.
//
// A case is a cluster in the format of bench/decide. Its pending pods are
// decided one after the other; each decision is one check per part, and the pod
// is then placed on upstream's choice on both sides, so that one difference
// does not bring on others.
package scheduler
