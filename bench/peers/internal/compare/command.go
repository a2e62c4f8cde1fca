package compare

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Exit codes of Command.
const (
	exitSame      = 0
	exitDifferent = 1
	exitUsage     = 2
)

// Command is the parity command: it reads args, compares, prints and returns
// the exit code. Without -area it compares every area.
func Command(areas []Area, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("parity", flag.ContinueOnError)
	flags.SetOutput(stderr)
	area := flags.String("area", "", "area to compare: "+known(areas)+" (empty: all)")
	cases := flags.Int("cases", 10000, "checks per part, at least")
	seed := flags.Uint64("seed", 1, "seed of the generated cases")
	output := flags.String("o", "table", "output: table or json (one object a line)")
	minimise := flags.Bool("minimise", false, "shrink the smallest differing case of each part before printing it")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	selected, err := choose(areas, *area)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *cases < 1:
		err = fmt.Errorf("-cases %d: want at least 1", *cases)
	case *output != "table" && *output != "json":
		err = fmt.Errorf("-o %q: want table or json", *output)
	}
	if err != nil {
		fmt.Fprintln(stderr, "parity:", err)
		return exitUsage
	}
	code := exitSame
	for _, a := range selected {
		rows := Run(a, Options{Cases: *cases, Seed: *seed, Minimise: *minimise})
		if Differences(rows) > 0 {
			code = exitDifferent
		}
		if *output == "json" {
			err = printJSON(stdout, rows)
		} else {
			err = printTable(stdout, rows)
		}
		if err != nil {
			fmt.Fprintln(stderr, "parity:", err)
			return exitDifferent
		}
	}
	return code
}

func known(areas []Area) string {
	var names []string
	for _, a := range areas {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

func choose(areas []Area, name string) ([]Area, error) {
	if name == "" {
		return areas, nil
	}
	i := slices.IndexFunc(areas, func(a Area) bool { return a.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("unknown area %q: known are %s", name, known(areas))
	}
	return areas[i : i+1], nil
}

func printJSON(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func printTable(w io.Writer, rows []Row) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "area\tpart\tcases\tdifferences\tdocumented\tseed")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%d\n", r.Area, r.Part, r.Cases, r.Differences, r.Documented, r.Seed)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, class := range slices.Sorted(maps.Keys(r.Classes)) {
			fmt.Fprintf(w, "documented in %s/%s, %d times: %s\n", r.Area, r.Part, r.Classes[class], class)
		}
		if e := r.Example; e != nil {
			fmt.Fprintf(w, "\n%s/%s differs, smallest case found (number %d of seed %d):\n%s\nupstream: %s\nours:     %s\n",
				r.Area, r.Part, e.Index, r.Seed, e.Case, e.Upstream, e.Ours)
		}
	}
	return nil
}
