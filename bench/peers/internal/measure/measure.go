// Package measure runs ours and a peer in turn in one process (A B A B …) and
// reports medians. A shared machine is slow and fast by turns: neighbours in
// time are comparable where two separate runs are not. A row without a check
// that both sides gave the same answer does not run.
package measure

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Area is what one package of orchcore is measured in.
type Area struct {
	Name string // the value of -area
	Rows []Row
}

// Row is one workload, on which both sides are measured.
type Row struct {
	Name string

	// Unit is what a sample's value counts. A rate (its unit ends in "/s") is
	// better when higher; anything else is a cost and better when lower.
	Unit string

	// Open prepares the workload. It is called just before the row is measured,
	// so that rows do not hold memory while others run.
	Open func() (*Pair, error)
}

// Pair is a workload ready to be measured.
type Pair struct {
	Ours, Peer Side

	// Check asserts that the two sides gave the same answer. It is called after
	// every pair of measurements, outside the timed part.
	Check func() error

	// Close frees what Open took; may be nil.
	Close func()
}

// Side measures one side once.
type Side func() (Sample, error)

// Sample is one measurement.
type Sample struct {
	Value  float64 // in the row's unit
	Allocs float64 // heap allocations per operation
	Bytes  float64 // heap bytes per operation
}

// Options says how often to measure.
type Options struct {
	Count int // kept pairs of measurements; one more is made first and dropped
}

// Result is the outcome of one row, as the ratios command prints it.
type Result struct {
	Area       string  `json:"area"`
	Row        string  `json:"row"`
	Unit       string  `json:"unit"`
	Ours       float64 `json:"ours"`
	Peer       float64 `json:"peer"`
	Ratio      float64 `json:"ratio"` // above 1: ours is faster, or needs less
	OursAllocs float64 `json:"ours_allocs"`
	PeerAllocs float64 `json:"peer_allocs"`
	OursBytes  float64 `json:"ours_bytes"`
	PeerBytes  float64 `json:"peer_bytes"`
	Count      int     `json:"count"`
}

// Run measures one row.
func Run(area string, row Row, opts Options) (Result, error) {
	res, err := run(row, opts)
	if err != nil {
		return Result{}, fmt.Errorf("area %s, row %s: %w", area, row.Name, err)
	}
	res.Area, res.Row, res.Unit, res.Count = area, row.Name, row.Unit, opts.Count
	return res, nil
}

func run(row Row, opts Options) (Result, error) {
	p, err := row.Open()
	if err != nil {
		return Result{}, err
	}
	if p.Close != nil {
		defer p.Close()
	}
	if p.Check == nil {
		return Result{}, errors.New("no check that both sides give the same answer")
	}
	var ours, peer []Sample
	for range opts.Count + 1 {
		a, err := p.Ours()
		if err != nil {
			return Result{}, fmt.Errorf("ours: %w", err)
		}
		b, err := p.Peer()
		if err != nil {
			return Result{}, fmt.Errorf("peer: %w", err)
		}
		if err := p.Check(); err != nil {
			return Result{}, fmt.Errorf("the answers differ: %w", err)
		}
		ours, peer = append(ours, a), append(peer, b)
	}
	return summarise(row, ours[1:], peer[1:]), nil
}

func summarise(row Row, ours, peer []Sample) Result {
	value := func(s Sample) float64 { return s.Value }
	allocs := func(s Sample) float64 { return s.Allocs }
	bytes := func(s Sample) float64 { return s.Bytes }
	r := Result{
		Ours: median(ours, value), OursAllocs: median(ours, allocs), OursBytes: median(ours, bytes),
		Peer: median(peer, value), PeerAllocs: median(peer, allocs), PeerBytes: median(peer, bytes),
	}
	above, below := r.Peer, r.Ours
	if strings.HasSuffix(row.Unit, "/s") {
		above, below = below, above
	}
	if below > 0 {
		r.Ratio = above / below
	}
	return r
}

func median(samples []Sample, field func(Sample) float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	var vs []float64
	for _, s := range samples {
		vs = append(vs, field(s))
	}
	slices.Sort(vs)
	n := len(vs)
	return (vs[(n-1)/2] + vs[n/2]) / 2
}

// loopTime is how long one sample of Loop lasts, about.
const loopTime = 100 * time.Millisecond

// Loop is a Side for short operations, in ns/op: run does its operation n
// times. The first call finds an n that lasts about loopTime.
func Loop(run func(n int)) Side {
	n := 0
	return func() (Sample, error) {
		if n == 0 {
			n = calibrate(run)
		}
		return Timed(func() (int, error) { run(n); return n, nil }, PerOp)
	}
}

func calibrate(run func(n int)) int {
	for n := 1; ; n *= 4 {
		start := time.Now()
		run(n)
		if d := time.Since(start); d >= loopTime/4 {
			return max(1, int(float64(n)*float64(loopTime)/float64(d)))
		}
	}
}

// Value turns the time that a number of operations took into a sample's value.
type Value func(elapsed time.Duration, operations int) float64

// PerOp is the value of a row in ns/op.
func PerOp(elapsed time.Duration, operations int) float64 {
	return float64(elapsed.Nanoseconds()) / float64(operations)
}

// Rate is the value of a row in operations/s.
func Rate(elapsed time.Duration, operations int) float64 {
	return float64(operations) / elapsed.Seconds()
}

// Timed measures work, which returns how many operations it did. Allocations
// are those of the whole process meanwhile.
func Timed(work func() (operations int, err error), value Value) (Sample, error) {
	var m Meter
	m.Start()
	n, err := work()
	m.Stop(n)
	if err != nil {
		return Sample{}, err
	}
	return m.Sample(value)
}

// Meter adds up stretches of work, so that what lies between them (setting up
// the next one) is not measured. The zero Meter is ready.
type Meter struct {
	operations int
	elapsed    time.Duration
	mallocs    uint64
	bytes      uint64

	before  runtime.MemStats
	started time.Time
}

// Start begins a stretch, on a heap that was just collected.
func (m *Meter) Start() {
	runtime.GC()
	runtime.ReadMemStats(&m.before)
	m.started = time.Now()
}

// Stop ends the stretch, in which so many operations were done.
func (m *Meter) Stop(operations int) {
	elapsed := time.Since(m.started)
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	m.operations += operations
	m.elapsed += max(elapsed, 1)
	m.mallocs += after.Mallocs - m.before.Mallocs
	m.bytes += after.TotalAlloc - m.before.TotalAlloc
}

// Elapsed is how long all stretches lasted together.
func (m *Meter) Elapsed() time.Duration { return m.elapsed }

// Sample is what was measured so far.
func (m *Meter) Sample(value Value) (Sample, error) {
	if m.operations < 1 {
		return Sample{}, fmt.Errorf("%d operations done: want at least 1", m.operations)
	}
	return Sample{
		Value:  value(m.elapsed, m.operations),
		Allocs: perOperation(m.mallocs, m.operations),
		Bytes:  perOperation(m.bytes, m.operations),
	}, nil
}

// perOperation is rounded to thousandths: below that it shows the runtime's own
// few allocations during a run, not the measured code's.
func perOperation(total uint64, n int) float64 {
	return math.Round(float64(total)/float64(n)*1000) / 1000
}
