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
		all := r.Policies()
		for i := 0; i < len(all); i += n {
			var changes []change
			for _, p := range all[i:min(i+n, len(all))] {
				changes = append(changes, change{new: p})
			}
			next := before.after(r.node, nil, changes)
			if !yield(Diff(before, next).AppendNFT(nil)) {
				return
			}
			before = next
		}
	}
}
