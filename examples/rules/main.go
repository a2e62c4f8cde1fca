// Rules shows what a node's service proxy makes of a cluster's Services:
//
//	go run ./examples/rules                                    # a small shop, as nft rules
//	kubectl get services,endpointslices,nodes -A -o json > dump.json
//	go run ./examples/rules -f dump.json -node worker-1 -mode iptables
//	go run ./examples/rules -f dump.json -diff old.json        # the update from old.json's rules
//	go run ./examples/rules -f dump.json -trace "tcp 10.0.0.5:4000 → 172.30.0.10:80"
//	go run ./examples/rules -f dump.json -lint
//	go run ./examples/rules -live                              # root: real packets beside Trace
//
// Objects of kinds that do not matter here are counted on standard error. It
// exits with status 2 when arguments or objects are refused, and with 1 when
// -live saw the kernel disagree.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/proxyrules"
)

//go:embed shop.json
var shop []byte

const (
	exitDiffers = 1
	exitRefused = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the parsed arguments.
type options struct {
	file, old, node, mode, family, flow           string
	nodeIPs, clusterCIDRs, serviceCIDRs, nodePort string
	lint, live, localhost, masqueradeAll          bool
}

func run(args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("rules", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.file, "f", "", "objects: the JSON or YAML that kubectl get -o json prints (empty: a built-in shop)")
	flags.StringVar(&o.old, "diff", "", "print the update that leads from this file's rules to those of -f")
	flags.StringVar(&o.flow, "trace", "", `explain one flow: "tcp 10.0.0.5:4000 → 172.30.0.10:80" (-> will do)`)
	flags.BoolVar(&o.lint, "lint", false, "list what is probably not meant so")
	flags.BoolVar(&o.live, "live", false, "load rules into network namespaces and send packets (needs root)")
	flags.StringVar(&o.mode, "mode", "nft", "nft or iptables")
	flags.StringVar(&o.family, "family", "IPv4", "IPv4 or IPv6")
	flags.StringVar(&o.node, "node", "", "name of the node (empty: the first by name in the objects)")
	flags.StringVar(&o.nodeIPs, "node-ips", "", "the node's addresses, separated by commas (empty: those of the Node object)")
	flags.StringVar(&o.clusterCIDRs, "cluster-cidrs", "10.0.0.0/8", "pod ranges")
	flags.StringVar(&o.serviceCIDRs, "service-cidrs", "", "ranges of cluster IPs")
	flags.StringVar(&o.nodePort, "nodeport-addresses", "", "ranges of node addresses that accept node ports (empty: all)")
	flags.BoolVar(&o.localhost, "localhost-nodeports", false, "iptables: node ports on 127.0.0.1")
	flags.BoolVar(&o.masqueradeAll, "masquerade-all", false, "masquerade all traffic to cluster IPs")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitRefused
	}
	err := fmt.Errorf("unexpected argument %q", flags.Arg(0))
	if flags.NArg() == 0 {
		err = o.run(stdout, stderr)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDiffers):
		fmt.Fprintln(stderr, "rules:", err)
		return exitDiffers
	default:
		fmt.Fprintln(stderr, "rules:", err)
		return exitRefused
	}
}

// errDiffers is returned by -live when the kernel did not do what Trace says.
var errDiffers = errors.New("the kernel did not do what Trace says")

func (o *options) run(w, notes io.Writer) error {
	modes := map[string]proxyrules.Mode{"nft": proxyrules.NFTables, "iptables": proxyrules.IPTables}
	mode, ok := modes[o.mode]
	if !ok {
		return fmt.Errorf("-mode %q: want nft or iptables", o.mode)
	}
	if err := o.exclusive(); err != nil {
		return err
	}
	if o.live {
		return live(w, mode)
	}
	name, data := "built-in shop", shop
	if o.file != "" {
		var err error
		if data, err = readFile(o.file); err != nil {
			return err
		}
		name = o.file
	}
	objects, err := load(name, data)
	if err != nil {
		return err
	}
	objects.printSkipped(notes)
	cfg, err := o.config(mode, objects)
	if err != nil {
		return err
	}
	rules, err := objects.compile(cfg)
	if err != nil {
		return err
	}
	switch {
	case o.flow != "":
		return o.explain(w, rules)
	case o.lint:
		return printLint(w, rules)
	case o.old != "":
		return o.update(w, notes, cfg, rules)
	}
	return printText(w, mode, rules.AppendNFT, rules.AppendIPTables)
}

// exclusive refuses what would have no effect beside something else.
func (o *options) exclusive() error {
	var asked []string
	for name, given := range map[string]bool{"-diff": o.old != "", "-trace": o.flow != "", "-lint": o.lint, "-live": o.live} {
		if given {
			asked = append(asked, name)
		}
	}
	slices.Sort(asked)
	if len(asked) > 1 {
		return fmt.Errorf("%s: only one of these at a time", strings.Join(asked, " and "))
	}
	if o.live && o.file != "" {
		return errors.New("-live and -f: the demonstration has objects of its own")
	}
	return nil
}

func printText(w io.Writer, mode proxyrules.Mode, nft, iptables func([]byte) []byte) error {
	text := nft
	if mode == proxyrules.IPTables {
		text = iptables
	}
	_, err := w.Write(text(nil))
	return err
}

// update prints the transaction from the old file's rules to the new ones.
func (o *options) update(w, notes io.Writer, cfg proxyrules.Config, rules *proxyrules.RuleSet) error {
	data, err := readFile(o.old)
	if err != nil {
		return err
	}
	objects, err := load(o.old, data)
	if err != nil {
		return err
	}
	objects.printSkipped(notes)
	before, err := objects.compile(cfg)
	if err != nil {
		return err
	}
	u := proxyrules.Diff(before, rules)
	for _, k := range u.Changed() {
		fmt.Fprintf(w, "# changed: %s/%s\n", k, k.Protocol)
	}
	if err := printText(w, cfg.Mode, u.AppendNFT, u.AppendIPTables); err != nil {
		return err
	}
	if later := u.AppendNFTCleanup(nil); cfg.Mode == proxyrules.NFTables && len(later) > 0 {
		fmt.Fprintf(w, "# and a second later, in a transaction of its own:\n%s", later)
	}
	for _, s := range u.StaleFlows() {
		to := s.Destination.String()
		if s.NodePort != 0 {
			to = fmt.Sprintf("node port %d", s.NodePort)
		}
		fmt.Fprintf(w, "# conntrack: forget UDP flows to %s, except those at %v\n", to, s.Keep)
	}
	return nil
}

// explain prints what Trace says about -trace.
func (o *options) explain(w io.Writer, rules *proxyrules.RuleSet) error {
	f, err := parseFlow(o.flow)
	if err != nil {
		return err
	}
	t, err := rules.Trace(f)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s → %s: %s\n", f.Protocol, f.Source, f.Destination, t.Verdict)
	for _, why := range t.Why {
		fmt.Fprintln(w, "  because", why)
	}
	for _, c := range t.Choices {
		masquerade := "source kept"
		if c.Masquerade {
			masquerade = "masqueraded"
		}
		fmt.Fprintf(w, "  %5.1f %%  %s  (slice %s, %s)\n", 100*c.Probability, c.Backend.Address, c.Backend.Slice, masquerade)
	}
	return nil
}

func printLint(w io.Writer, rules *proxyrules.RuleSet) error {
	findings := rules.Lint()
	for _, d := range findings {
		fmt.Fprintf(w, "%s: %s: %q: %s\n", d.Object, d.Field, d.Value, d.Message)
	}
	fmt.Fprintf(w, "%d findings in %d service ports\n", len(findings), len(rules.Policies()))
	return nil
}

// parseFlow reads "PROTOCOL SOURCE → DESTINATION".
func parseFlow(s string) (proxyrules.Flow, error) {
	words := strings.Fields(strings.ReplaceAll(s, "→", "->"))
	if len(words) != 4 || words[2] != "->" {
		return proxyrules.Flow{}, fmt.Errorf("-trace %q: want protocol, source, →, destination", s)
	}
	proto, ok := proxyrules.ParseProtocol(strings.ToLower(words[0]))
	if !ok {
		return proxyrules.Flow{}, fmt.Errorf("-trace: %q: want tcp, udp or sctp", words[0])
	}
	src, err := netip.ParseAddrPort(words[1])
	if err != nil {
		return proxyrules.Flow{}, fmt.Errorf("-trace: source: %w", err)
	}
	dst, err := netip.ParseAddrPort(words[3])
	if err != nil {
		return proxyrules.Flow{}, fmt.Errorf("-trace: destination: %w", err)
	}
	return proxyrules.Flow{Protocol: proto, Source: src, Destination: dst}, nil
}
