//go:build race

package selector

// raceDetector makes tests that are only slow under it smaller.
const raceDetector = true
