package proxyrules

import (
	"runtime"
	"sync"
)

// parallelMin is how many objects are worth a goroutine.
const parallelMin = 256

// inParallel calls do for ranges that cover 0 … n-1, on all processors when
// there is enough to do, and returns when all are done. What do makes must
// depend on the index alone, so that the ranges do not matter.
func inParallel(n int, do func(from, to int)) {
	workers := min(runtime.GOMAXPROCS(0), n/parallelMin)
	if workers <= 1 {
		do(0, n)
		return
	}
	var done sync.WaitGroup
	for i := range workers {
		done.Go(func() { do(i*n/workers, (i+1)*n/workers) })
	}
	done.Wait()
}
