package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/orchcore/orchcore/raftstore"
)

// probe writes one small key after the other, so that a gap in the store's service
// shows, and remembers which writes were acknowledged.
type probe struct {
	kv     raftstore.KV
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	acked []string
	last  time.Time
	gap   time.Duration // the longest time between two acknowledgements
}

const probePrefix = "/registry/configmaps/kube-system/minicluster-probe-"

// startProbe begins to write. Keys of an earlier run are removed first.
func startProbe(ctx context.Context, kv raftstore.KV) (*probe, error) {
	if err := clearProbe(ctx, kv); err != nil {
		return nil, err
	}
	p := &probe{kv: kv, last: time.Now()}
	ctx, p.cancel = context.WithCancel(ctx)
	p.wg.Go(func() { p.write(ctx) })
	return p, nil
}

func clearProbe(ctx context.Context, kv raftstore.KV) error {
	_, err := kv.DeleteRange(ctx, raftstore.DeleteRequest{
		Key: []byte(probePrefix), End: raftstore.PrefixEnd([]byte(probePrefix)),
	})
	if err != nil {
		return fmt.Errorf("clear probe: %w", err)
	}
	return nil
}

const probePause = 5 * time.Millisecond

func (p *probe) write(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%s%06d", probePrefix, n)
		value := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"kube-system","name":"minicluster-probe-%06d"}}`, n)
		if _, err := p.kv.Put(ctx, raftstore.PutRequest{Key: []byte(key), Value: value}); err == nil {
			p.mu.Lock()
			now := time.Now()
			p.gap = max(p.gap, now.Sub(p.last))
			p.last = now
			p.acked = append(p.acked, key)
			p.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(probePause):
		}
	}
}

// count is the number of acknowledged writes, gap the longest time between two.
func (p *probe) count() (count int, gap time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked), p.gap
}

// stop ends the writing and returns what was acknowledged, and what of that the
// store has.
func (p *probe) stop(ctx context.Context) (acked, found []string, err error) {
	p.cancel()
	p.wg.Wait()
	r, err := p.kv.Range(ctx, raftstore.RangeOptions{
		Key: []byte(probePrefix), End: raftstore.PrefixEnd([]byte(probePrefix)), KeysOnly: true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read probe: %w", err)
	}
	for _, kv := range r.KVs {
		found = append(found, string(kv.Key))
	}
	return p.acked, found, nil
}
