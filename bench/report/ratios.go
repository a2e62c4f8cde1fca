package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// ratio is a line of `ratios -o json`.
type ratio struct {
	Row   string  `json:"row"`
	Unit  string  `json:"unit"`
	Ours  float64 `json:"ours"`
	Peer  float64 `json:"peer"`
	Ratio float64 `json:"ratio"`
}

// ratioTable renders the rows of a file that the request selects.
func (r request) ratioTable(path string) (string, error) {
	rows, err := r.pattern("rows")
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var out strings.Builder
	out.WriteString("| | unit | ours | peer | ratio |\n| --- | --- | ---: | ---: | ---: |\n")
	lines, found := bufio.NewScanner(f), false
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var row ratio
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return "", fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		if row.Row == "" || row.Unit == "" || row.Ours <= 0 || row.Peer <= 0 || row.Ratio <= 0 {
			return "", fmt.Errorf("%s: line %d: %s: want row, unit and positive ours, peer and ratio", path, n, lines.Text())
		}
		if !rows.MatchString(row.Row) {
			continue
		}
		found = true
		ours, peer, unit := scale(row.Ours, row.Peer, row.Unit)
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", strings.ReplaceAll(row.Row, "|", `\|`), unit, ours, peer, figure(row.Ratio))
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if !found {
		return "", fmt.Errorf("%s has no row that matches %q", path, r.settings["rows"])
	}
	return out.String(), nil
}

// scale chooses a unit of time in which the smaller value is at least one.
func scale(a, b float64, unit string) (string, string, string) {
	if unit != "ns/op" {
		return figure(a), figure(b), unit
	}
	divisor, name := 1.0, "ns"
	for _, step := range []string{"µs", "ms", "s"} {
		if min(a, b) < 1000*divisor {
			break
		}
		divisor, name = 1000*divisor, step
	}
	return figure(a / divisor), figure(b / divisor), name
}

// figure prints three significant digits, and whole numbers whole with their
// thousands set apart.
func figure(v float64) string {
	if v < 999.5 {
		digits := 2 - int(math.Floor(math.Log10(max(v, 0.001))))
		return trimZeros(strconv.FormatFloat(v, 'f', max(0, digits), 64))
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
