// Command evict shows who dies first on a node, and why.
//
//	go run ./examples/evict                      this machine, with sample pods
//	go run ./examples/evict -f dump.json         a node of "kubectl get nodes,pods -A -o json"
//	                        -stats summary.json  and its kubelet's /stats/summary
//	sudo go run ./examples/evict -live           real processes under real pressure
//
// It prints the classes of the pods, their oom_score_adj and cpu shares, which
// thresholds are crossed, and the order in which pods would be evicted under
// each signal. With -live it starts a few processes in memory cgroups, lets
// them use more and more memory within a limit of its own, and exits with
// status 1 if another process than the predicted one had to go first.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/orchcore/orchcore/qos"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == hogArgument {
		hog(os.Args[2])
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	file, stats, node, signal, hard string
	live                            bool
}

func run(args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("evict", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.file, "f", "", "JSON or YAML with a node and its pods (default: this machine with sample pods)")
	flags.StringVar(&o.stats, "stats", "", "JSON of the node's /stats/summary")
	flags.StringVar(&o.node, "node", "", "which node of -f (default: the one with the most pods)")
	flags.StringVar(&o.signal, "signal", "", "show only this signal, such as memory.available")
	flags.StringVar(&o.hard, "hard", "", "hard eviction thresholds, such as memory.available<100Mi,nodefs.available<10%")
	flags.BoolVar(&o.live, "live", false, "start processes in memory cgroups and evict for real")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	err := o.validate(flags.NArg(), flags.Arg(0))
	if err == nil && o.live {
		err = live(stdout)
	} else if err == nil {
		err = o.show(stdout)
	}
	var wrong wrongVictimError
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, "evict:", err)
		return 1
	case err != nil:
		fmt.Fprintln(stderr, "evict:", err)
		return 2
	}
	return 0
}

func (o options) validate(extra int, first string) error {
	switch {
	case extra > 0:
		return fmt.Errorf("unexpected argument %q", first)
	case o.live && o.file+o.stats+o.node+o.signal+o.hard != "":
		return errors.New("-live goes with no other flag")
	case o.file == "" && o.stats+o.node != "":
		return errors.New("-stats and -node describe the node of -f: want -f too")
	}
	return nil
}

// show prints everything about a node.
func (o options) show(w io.Writer) error {
	signals := qos.Signals()
	if o.signal != "" {
		s, err := qos.ParseSignal(o.signal)
		if err != nil {
			return fmt.Errorf("-signal: %w", err)
		}
		signals = []qos.Signal{s}
	}
	settings := qos.EvictionSettings{EnforcePods: true}
	if o.hard != "" {
		var err error
		if settings.Hard, err = thresholdFlag(o.hard); err != nil {
			return err
		}
	}
	thresholds, err := settings.Thresholds()
	if err != nil {
		return err
	}
	n, err := o.load()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "NODE %s: %s\n\n", n.name, n.about)
	if err := n.showThresholds(w, thresholds); err != nil {
		return err
	}
	if err := n.showPods(w); err != nil {
		return err
	}
	return n.showOrders(w, signals)
}

// thresholdFlag reads the kubelet's flag form: signal<amount, with commas.
func thresholdFlag(text string) (map[string]string, error) {
	out := map[string]string{}
	for _, part := range strings.Split(text, ",") {
		name, amount, ok := strings.Cut(part, "<")
		if !ok {
			return nil, fmt.Errorf("-hard: %q: want signal<amount", part)
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(amount)
	}
	return out, nil
}

func (n *node) showThresholds(w io.Writer, thresholds []qos.Threshold) error {
	e, err := qos.NewEvictor(qos.EvictorConfig{Thresholds: thresholds, NoStorageLimits: true})
	if err != nil {
		return err
	}
	observed := qos.Observe(&n.summary)
	d := e.Step(time.Now(), observed, n.candidates)
	crossed := map[qos.Signal]bool{}
	for _, t := range d.Crossed {
		crossed[t.Signal] = true
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "SIGNAL\tCAPACITY\tAVAILABLE\tEVICTS BELOW\tSTATE")
	for _, threshold := range e.Thresholds() {
		o, ok := observed.Of(threshold.Signal)
		state := "ok"
		switch {
		case !ok:
			fmt.Fprintf(t, "%v\t?\t?\t%v\tnot measured\n", threshold.Signal, threshold.Value)
			continue
		case crossed[threshold.Signal]:
			state = fmt.Sprintf("CROSSED: %v", threshold.Signal.Condition())
		}
		fmt.Fprintf(t, "%v\t%v\t%v\t%v\t%s\n", threshold.Signal, o.Capacity, o.Available, threshold.Value.Of(o.Capacity), state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, x := range d.Evict {
		fmt.Fprintf(w, "A kubelet would now evict %s/%s. %s\n", x.Pod.Metadata.Namespace, x.Pod.Metadata.Name, x.Message)
	}
	_, err = fmt.Fprintln(w)
	return err
}

func (n *node) showPods(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "POD\tCLASS\tPRIORITY\tMEMORY REQUEST\tWORKING SET\tCPU SHARES/WEIGHT\tOOM_SCORE_ADJ")
	for i := range n.candidates {
		c := &n.candidates[i]
		g, err := qos.PodCgroup(c.Pod, qos.CgroupConfig{})
		if err != nil {
			return err
		}
		var scores []string
		for j := range c.Pod.Spec.Containers {
			score, err := qos.OOMScoreAdj(c.Pod, &c.Pod.Spec.Containers[j], n.memoryBytes)
			if err != nil {
				return err
			}
			scores = append(scores, fmt.Sprint(score))
		}
		use := "?"
		if c.Known {
			use = c.WorkingSet.String()
		}
		fmt.Fprintf(t, "%s/%s\t%v\t%d\t%v\t%s\t%v/%d\t%s\n", c.Pod.Metadata.Namespace, c.Pod.Metadata.Name, qos.ClassOf(c.Pod),
			qos.Priority(c.Pod), c.Memory, use, g.Shares, qos.WeightLinear(g.Shares.Value), strings.Join(scores, ","))
	}
	return t.Flush()
}

// showOrders prints one table for all signals under which the order is the
// same.
func (n *node) showOrders(w io.Writer, signals []qos.Signal) error {
	shown := map[string]string{}
	for _, s := range signals {
		var b strings.Builder
		if err := qos.WriteTable(&b, qos.Explain(n.candidates, s, qos.Layout{})); err != nil {
			return err
		}
		if same := shown[b.String()]; same != "" {
			fmt.Fprintf(w, "\nUnder pressure of %v: as of %s\n", s, same)
			continue
		}
		shown[b.String()] = s.String()
		if _, err := fmt.Fprintf(w, "\nUnder pressure of %v:\n%s", s, b.String()); err != nil {
			return err
		}
	}
	return nil
}
