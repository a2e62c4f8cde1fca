package measure

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Exit codes of Command.
const (
	exitMeasured = 0
	exitFailed   = 1
	exitUsage    = 2
)

// Command is the ratios command: it reads args, measures, prints each row as
// soon as it is known and returns the exit code. Without -area it measures
// every area.
func Command(areas []Area, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ratios", flag.ContinueOnError)
	flags.SetOutput(stderr)
	area := flags.String("area", "", "area to measure: "+known(areas)+" (empty: all)")
	rows := flags.String("rows", "", "regular expression that a row's name has to match (empty: all rows)")
	count := flags.Int("count", 5, "pairs of measurements per row")
	output := flags.String("o", "table", "output: table or json (one object a line)")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	selected, err := choose(areas, *area)
	pattern, patternErr := regexp.Compile(*rows)
	switch {
	case err != nil:
	case patternErr != nil:
		err = fmt.Errorf("-rows %q: %w", *rows, patternErr)
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *count < 1:
		err = fmt.Errorf("-count %d: want at least 1", *count)
	case *output != "table" && *output != "json":
		err = fmt.Errorf("-o %q: want table or json", *output)
	case !anyRow(selected, pattern):
		err = fmt.Errorf("-rows %q matches no row: known are %s", *rows, knownRows(selected))
	}
	if err != nil {
		fmt.Fprintln(stderr, "ratios:", err)
		return exitUsage
	}
	print := tablePrinter(stdout, selected)
	if *output == "json" {
		print = jsonPrinter(stdout)
	}
	code := exitMeasured
	for _, a := range selected {
		for _, row := range a.Rows {
			if !pattern.MatchString(row.Name) {
				continue
			}
			res, err := Run(a.Name, row, Options{Count: *count})
			if err == nil {
				err = print(res)
			}
			if err != nil {
				fmt.Fprintln(stderr, "ratios:", err)
				code = exitFailed
			}
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

func knownRows(areas []Area) string {
	var names []string
	for _, a := range areas {
		for _, r := range a.Rows {
			names = append(names, a.Name+":"+r.Name)
		}
	}
	return strings.Join(names, ", ")
}

func anyRow(areas []Area, pattern *regexp.Regexp) bool {
	return slices.ContainsFunc(areas, func(a Area) bool {
		return slices.ContainsFunc(a.Rows, func(r Row) bool { return pattern.MatchString(r.Name) })
	})
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

func jsonPrinter(w io.Writer) func(Result) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(r Result) error { return enc.Encode(r) }
}

// tablePrinter prints rows as they come, in columns wide enough for every row
// name of the areas.
func tablePrinter(w io.Writer, areas []Area) func(Result) error {
	width := len("row")
	for _, a := range areas {
		for _, r := range a.Rows {
			width = max(width, len(r.Name))
		}
	}
	head := false
	return func(r Result) error {
		if !head {
			head = true
			fmt.Fprintf(w, "%-11s %-*s  %-8s %11s %11s %9s %12s %12s\n",
				"area", width, "row", "unit", "ours", "peer", "ratio", "ours allocs", "peer allocs")
		}
		_, err := fmt.Fprintf(w, "%-11s %-*s  %-8s %11.5g %11.5g %9.2f %12.5g %12.5g\n",
			r.Area, width, r.Row, r.Unit, r.Ours, r.Peer, r.Ratio, r.OursAllocs, r.PeerAllocs)
		return err
	}
}
