//go:build race

package scheduler

// checked says that every decision of the engine is held against the plain
// form. Builds for the race detector are slow anyway.
const checked = true
