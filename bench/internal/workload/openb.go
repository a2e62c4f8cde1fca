package workload

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The files of the Alibaba GPU cluster trace of 2023 (openb).
const (
	OpenBNodes = "openb_node_list_all_node.csv"
	OpenBPods  = "openb_pod_list_default.csv"   // in order of arrival
	OpenBSpec  = "openb_pod_list_gpuspec33.csv" // a third of the GPU pods wants certain models
)

// GPUMilli is the resource that trace nodes offer and pods ask for: thousandths
// of a GPU, which the trace shares out.
const GPUMilli = "example.com/gpu-milli"

// gpuModel labels a node with the model of its GPUs.
const gpuModel = "gpu-model"

// OpenB reads the trace from a folder: all nodes, and the pods of one of its
// lists as pending ones, first come first.
func OpenB(folder, pods string) (*Cluster, error) {
	c := &Cluster{Namespaces: []Object{{"metadata": Object{"name": "default"}}}}
	err := readTable(filepath.Join(folder, OpenBNodes), func(r *row) {
		c.Nodes = append(c.Nodes, openBNode(r))
	})
	if err != nil {
		return nil, err
	}
	type arrival struct {
		time int
		pod  Object
	}
	var list []arrival
	err = readTable(filepath.Join(folder, pods), func(r *row) {
		list = append(list, arrival{r.number("creation_time"), openBPod(r)})
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b arrival) int { return cmp.Compare(a.time, b.time) })
	for _, a := range list {
		c.Pods = append(c.Pods, a.pod)
	}
	return c, nil
}

func openBNode(r *row) Object {
	name := r.text("sn")
	labels := Object{hostnameKey: name}
	resources := Object{"cpu": r.text("cpu_milli") + "m", "memory": r.text("memory_mib") + "Mi", "pods": "110"}
	if gpus := r.number("gpu"); gpus > 0 {
		resources[GPUMilli] = strconv.Itoa(gpus * 1000)
		labels[gpuModel] = r.text("model")
	}
	return Object{"metadata": Object{"name": name, "uid": name, "labels": labels}, "spec": Object{},
		"status": Object{"allocatable": resources, "capacity": resources}}
}

func openBPod(r *row) Object {
	name := r.text("name")
	requests := Object{"cpu": r.text("cpu_milli") + "m", "memory": r.text("memory_mib") + "Mi"}
	if n := r.number("num_gpu") * r.number("gpu_milli"); n > 0 {
		requests[GPUMilli] = strconv.Itoa(n)
	}
	p := Object{"metadata": Object{"name": name, "namespace": "default", "uid": name},
		"spec": Object{"containers": list{Object{"name": "main", "resources": Object{"requests": requests}}}}}
	if models := r.text("gpu_spec"); models != "" {
		var values list
		for m := range strings.SplitSeq(models, "|") {
			values = append(values, m)
		}
		p.child("spec").child("affinity").child("nodeAffinity").child("requiredDuringSchedulingIgnoredDuringExecution")["nodeSelectorTerms"] = list{
			Object{"matchExpressions": list{Object{"key": gpuModel, "operator": "In", "values": values}}}}
	}
	return p
}

// row is a line of a table with a heading. It keeps the first error.
type row struct {
	column map[string]int
	fields []string
	err    error
}

func (r *row) text(column string) string {
	i, ok := r.column[column]
	if !ok {
		if r.err == nil {
			r.err = fmt.Errorf("no column %q", column)
		}
		return ""
	}
	return r.fields[i]
}

func (r *row) number(column string) int {
	n, err := strconv.Atoi(r.text(column))
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("column %s: %q: want an integer", column, r.text(column))
	}
	return n
}

func readTable(path string, line func(*row)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(lines) == 0 {
		return fmt.Errorf("%s: no heading", path)
	}
	column := map[string]int{}
	for i, name := range lines[0] {
		column[name] = i
	}
	for i, fields := range lines[1:] {
		r := &row{column: column, fields: fields}
		if line(r); r.err != nil {
			return fmt.Errorf("%s:%d: %w", path, i+2, r.err)
		}
	}
	return nil
}
