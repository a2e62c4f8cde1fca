// Package qos decides about resources on one node: which class a pod is in.
package qos
