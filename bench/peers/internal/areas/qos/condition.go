package qos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	_ "unsafe" // for linkname

	v1 "k8s.io/api/core/v1"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// The node lifecycle controller's table of taints, linked by name.
//
//go:linkname nodeConditionToTaintKeyStatusMap k8s.io/kubernetes/pkg/controller/nodelifecycle.nodeConditionToTaintKeyStatusMap
var nodeConditionToTaintKeyStatusMap map[v1.NodeConditionType]map[v1.ConditionStatus]string

// conditionCase is a node's conditions.
type conditionCase struct {
	Conditions []qos.NodeCondition `json:"conditions"`
}

func conditionSuite() compare.Suite {
	return &compare.Cases[conditionCase]{
		Parts: []string{"taint/conditions"},
		Generate: func(r *rand.Rand) conditionCase {
			var c conditionCase
			for range r.IntN(5) {
				c.Conditions = append(c.Conditions, qos.NodeCondition{
					Type:   pick(r, "Ready", "MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "Other", ""),
					Status: pick(r, "True", "False", "Unknown", "")})
			}
			return c
		},
		Compare: func(c conditionCase, rec *compare.Record) {
			var us, os []string
			for _, x := range c.Conditions {
				if key := nodeConditionToTaintKeyStatusMap[v1.NodeConditionType(x.Type)][v1.ConditionStatus(x.Status)]; key != "" {
					us = append(us, key)
				}
			}
			for _, t := range qos.NodeTaints(c.Conditions, false) {
				os = append(os, t.Key)
			}
			rec.Text("taint/conditions", fmt.Sprint(len(us), " ", strings.Join(us, " ")), fmt.Sprint(len(os), " ", strings.Join(os, " ")))
		},
	}
}
