package selector

// pages is an array that is copied page by page: what a snapshot may see stays
// as it is, what was made in the current epoch is written in place.
type pages[T any] struct {
	epoch uint64 // of the spine
	spine []*page[T]
}

// pageItems is a multiple of 64, so that the ids of a bitmap's word share a page.
const pageItems = 128

type page[T any] struct {
	epoch uint64
	items [pageItems]T
}

// at reads item i; items never written are zero.
func (p *pages[T]) at(i uint32) *T { return &p.spine[i/pageItems].items[i%pageItems] }

// has reports whether item i lies within the array.
func (p *pages[T]) has(i uint32) bool { return int(i/pageItems) < len(p.spine) }

// write returns item i for writing and grows the array up to it.
func (p *pages[T]) write(i uint32, epoch uint64) *T {
	if p.epoch != epoch {
		p.spine = append(make([]*page[T], 0, len(p.spine)+len(p.spine)/8+1), p.spine...)
		p.epoch = epoch
	}
	at := int(i / pageItems)
	for at >= len(p.spine) {
		p.spine = append(p.spine, &page[T]{epoch: epoch})
	}
	if p.spine[at].epoch != epoch {
		copied := *p.spine[at]
		copied.epoch = epoch
		p.spine[at] = &copied
	}
	return &p.spine[at].items[i%pageItems]
}
