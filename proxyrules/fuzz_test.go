package proxyrules_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// Whatever JSON holds, Compile refuses it by name, or both texts can be read
// back by strict parsers: nothing of the input became a rule of its own. The
// Compiler comes to the same texts, and names can be looked up.
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
		sameByCompiler(t, &g, r)
		if d, err := proxyrules.NewResolver("", g.Services, g.EndpointSlices); err == nil {
			d.Resolve(g.NodeName)
		} else if !errors.Is(err, proxyrules.ErrRefused) {
			t.Fatalf("an error that names nothing: %v", err)
		}
		proxyrules.ServiceEnv(g.Services)
	})
}

// sameByCompiler gives objects that Compile took to a Compiler, twice.
func sameByCompiler(t *testing.T, g *golden, r *proxyrules.RuleSet) {
	c, err := proxyrules.NewCompiler(g.config())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for range 2 {
		for i := range g.Services {
			s := &g.Services[i]
			name := s.Metadata.Namespace + "/" + s.Metadata.Name
			if names[name] {
				return // the later one would replace the one before
			}
			names[name] = true
			if err := c.SetService(s); err != nil {
				t.Fatal(err)
			}
		}
		for i := range g.EndpointSlices {
			name := "slice " + g.EndpointSlices[i].Metadata.Namespace + "/" + g.EndpointSlices[i].Metadata.Name
			if names[name] {
				return
			}
			names[name] = true
			if err := c.SetEndpointSlice(&g.EndpointSlices[i]); err != nil {
				t.Fatal(err)
			}
		}
		clear(names)
		if got := c.RuleSet().AppendNFT(nil); !bytes.Equal(got, r.AppendNFT(nil)) {
			t.Fatalf("the Compiler says\n%s\nand Compile\n%s", got, r.AppendNFT(nil))
		}
	}
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
