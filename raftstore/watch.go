package raftstore

// PolledWatcher is what Watch of a Store returns: a Watcher that can also be asked
// without waiting, so that one goroutine can serve any number of them.
type PolledWatcher interface {
	Watcher
	// Poll is Next without waiting: false means that there is nothing to deliver, and
	// the batch's Revision then is the progress made.
	Poll() (WatchBatch, bool, error)
	// Progress is the revision up to which everything has been delivered.
	Progress() int64
	// Notify has f called when Poll may have something to say, and at once if it may
	// already. f must neither wait nor call the store.
	Notify(f func())
}

var _ PolledWatcher = (*watcher)(nil)

// Poll implements PolledWatcher.
func (w *watcher) Poll() (WatchBatch, bool, error) {
	batch, ok, err := w.Watcher.Poll()
	return batch, ok, w.store.closedInstead(err)
}
