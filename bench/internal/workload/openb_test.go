package workload

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenBReadsTables(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write(OpenBNodes, "sn,cpu_milli,memory_mib,gpu,model\nn0,32000,1024,0,\nn1,64000,2048,2,T4\n")
	write(OpenBSpec, "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time\np0,1000,10,1,460,T4|V100,7\np1,2000,20,0,0,,3\n")
	c, err := OpenB(dir, OpenBSpec)
	require.NoError(t, err)
	require.Len(t, c.Nodes, 2)
	require.Equal(t, Object{"cpu": "64000m", "memory": "2048Mi", "pods": "110", GPUMilli: "2000"}, c.Nodes[1].child("status")["allocatable"])
	require.Len(t, c.Pods, 2)
	require.Equal(t, "p1", name(c.Pods[0]), "first come first")
	require.Contains(t, string(c.Pods[1].JSON()), `"values":["T4","V100"]`)
	require.Contains(t, string(c.Pods[1].JSON()), `"example.com/gpu-milli":"460"`)
}

func TestOpenBNamesFileLineAndColumn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, OpenBNodes)
	for text, want := range map[string]string{
		"sn,cpu_milli,memory_mib,gpu,model\nn0,1,1,many,\n": `openb_node_list_all_node.csv:2: column gpu: "many": want an integer`,
		"sn,cpu_milli,gpu,model\nn0,1,0,\n":                 `:2: no column "memory_mib"`,
		"":                                                  "no heading",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := OpenB(dir, OpenBPods)
		require.ErrorContains(t, err, want)
	}
	_, err := OpenB(t.TempDir(), OpenBPods)
	require.ErrorIs(t, err, os.ErrNotExist)
}
