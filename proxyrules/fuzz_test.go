package proxyrules_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// Whatever JSON holds, Compile refuses it by name, or both texts can be read
// back by strict parsers: nothing of the input became a rule of its own.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for seed := range uint64(20) {
		s := ruletest.Random(seed, proxyrules.IPv4, proxyrules.IPTables)
		data, err := json.Marshal(golden{Services: s.Services, EndpointSlices: s.Slices, NodeName: s.Config.NodeName, NodeIPs: s.Config.NodeIPs})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var g golden
		if json.Unmarshal(data, &g) != nil {
			return
		}
		r, err := g.compile()
		if err != nil {
			if !errors.Is(err, proxyrules.ErrRefused) {
				t.Fatalf("an error that names nothing: %v", err)
			}
			return
		}
		if _, err := proxyrules.ParseIPTables(string(r.AppendIPTables(nil)), string(r.AppendIPTablesJumps(nil))); err != nil {
			t.Fatal(err)
		}
		if _, err := proxyrules.ParseNFT(string(r.AppendNFT(nil))); err != nil {
			t.Fatal(err)
		}
	})
}

// The parsers take hostile texts without panic, and what they accept can be
// run.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.iptables", "testdata/*.nft"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	f.Add("*nat\n:A - [0:0]\n-A A -j A\n-A OUTPUT -j A\nCOMMIT\n")
	f.Add("table ip t {\n\tchain c {\n\t\ttype nat hook output priority dstnat - 10; policy accept;\n\t\tjump c\n\t}\n}\n")
	probe := flow("tcp", "192.168.0.2:1", "172.30.0.10:80")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := proxyrules.ParseIPTables(text); err == nil {
			p.Run(probe, proxyrules.Environment{})
		}
		if p, err := proxyrules.ParseNFT(text); err == nil {
			p.Run(probe, proxyrules.Environment{})
		}
	})
}
