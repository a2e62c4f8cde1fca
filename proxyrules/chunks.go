package proxyrules

import "iter"

// NFTChunks yields AppendNFT in pieces: transactions of at most n service
// ports each, to be applied in order. While a large transaction is applied,
// everybody else who changes rules waits; in pieces they wait for one piece.
// The first replaces the table by one without services: this is for a cold
// start, since services are missing until their piece is applied.
func (r *RuleSet) NFTChunks(n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		before := &RuleSet{node: r.node, table: newTable(), spans: new(spanTable)}
		if !yield(before.AppendNFT(nil)) {
			return
		}
		n = max(n, 1)
		for i := 0; i < len(r.policies); i += n {
			var changes []change
			for _, p := range r.policies[i:min(i+n, len(r.policies))] {
				changes = append(changes, change{new: p})
			}
			next := *before
			next.apply(changes)
			if !yield(Diff(before, &next).AppendNFT(nil)) {
				return
			}
			before = &next
		}
	}
}
