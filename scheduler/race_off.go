//go:build !race

package scheduler

// checked says that every decision of the engine is held against the plain
// form.
const checked = false
