// Command report makes the tables and charts of a Markdown page from recorded
// measurements, so that no figure on it is typed by hand:
//
//	go run ./bench/report [-check] [README.md ...]
//
// A block between two comments is replaced by what its first comment asks for.
// Paths are relative to the page:
//
//	<!-- ratios FILE [rows=REGEX] -->     a table of what `ratios -o json` printed
//	<!-- growth FILE x=KEY y=UNIT [bench=REGEX] [chart=FILE.svg] [title=TEXT] -->
//	                                      a table, and a chart, of what `go test -bench`
//	                                      printed: a line per series, a column per x
//	<!-- end -->
//
// With -check nothing is written; a page or chart that differs from what its
// measurements say ends the program with status 1. Broken input gives status 2.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) (exit int) {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	check := flags.Bool("check", false, "write nothing; exit with 1 if something would change")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	pages := flags.Args()
	if len(pages) == 0 {
		pages = []string{"README.md"}
	}
	for _, page := range pages {
		files, err := render(page)
		if err != nil {
			fmt.Fprintln(stderr, "report:", err)
			return 2
		}
		for _, f := range files {
			switch stale, err := f.apply(!*check); {
			case err != nil:
				fmt.Fprintln(stderr, "report:", err)
				return 2
			case stale && *check:
				fmt.Fprintf(stderr, "report: %s is not what its measurements say: run go run ./bench/report\n", f.path)
				exit = 1
			}
		}
	}
	return exit
}

// file is a file as it should be.
type file struct {
	path string
	text []byte
}

// apply reports whether the file on disk differs, and mends it on request.
func (f file) apply(write bool) (stale bool, err error) {
	now, err := os.ReadFile(f.path)
	if err != nil && !os.IsNotExist(err) {
		return false, err
	}
	if err == nil && bytes.Equal(now, f.text) {
		return false, nil
	}
	if !write {
		return true, nil
	}
	return true, os.WriteFile(f.path, f.text, 0o644)
}

// render returns the page and its charts as they should be.
func render(page string) ([]file, error) {
	old, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	text, charts, err := fill(string(old), filepath.Dir(page))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", page, err)
	}
	return slices.Concat([]file{{page, []byte(text)}}, charts), nil
}
