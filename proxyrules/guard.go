package proxyrules

// Guard decides whether the kernel still has the rules that it was given,
// from what can be read without listing any. The kernel counts its
// transactions, those of everybody: the count is the generation. While it is
// what it was after our own last transaction, nothing changed; when it is
// not, the transactions that made the difference are enough to know whether
// one of them touched what is ours. Package nftwatch reads both, for nftables
// and for iptables-nft; package iptwatch counts the changes that it sees of
// the tables of iptables-legacy.
//
//	if !guard.Intact(observe()) {       // at the start, and before each update
//		load(rules.AppendNFT(nil))
//		guard.Loaded(observe())
//	}
//	load(update.AppendNFT(nil))         // unless it is empty
//	guard.Updated(observe())
//
// Whoever applies a text and sees it fail starts over with the zero Guard,
// which has nothing loaded. Every observation must be passed on, in order. A
// Guard is for one goroutine.
type Guard struct {
	generation uint32 // of the last observation
	loaded     bool   // at that generation the kernel had our rules
}

// Observation is a look at the state of nftables.
type Observation struct {
	// Generation is that of the rules in the kernel.
	Generation uint32
	// Commits are the transactions since the observation before, up to
	// Generation, as far as they are known. One that is not could have done
	// anything.
	Commits []Commit
}

// Commit is a transaction of anybody.
type Commit struct {
	Generation uint32 // that it made
	Touched    bool   // something that is ours, or may be
}

// Intact reports that the kernel has the rules of the last Loaded or Updated.
// If not, the whole text must be loaded again, since it is not known what
// is left.
func (g *Guard) Intact(now Observation) bool {
	g.loaded = g.suspects(now) == 0 && g.loaded
	g.generation = now.Generation
	return g.loaded
}

// Loaded notes that RuleSet.AppendNFT was applied, in one transaction, since
// the observation before this.
func (g *Guard) Loaded(now Observation) { g.LoadedIn(now, 1) }

// LoadedIn notes the same of a text that took several transactions.
// iptables-nft-restore makes one for each COMMIT.
func (g *Guard) LoadedIn(now Observation, transactions int) {
	g.loaded = g.suspects(now) == uint32(transactions) // ours
	g.generation = now.Generation
}

// Updated notes the same of Update.AppendNFT or AppendNFTCleanup. Rules that
// were in doubt before still are.
func (g *Guard) Updated(now Observation) { g.UpdatedIn(now, 1) }

// UpdatedIn is to Updated what LoadedIn is to Loaded.
func (g *Guard) UpdatedIn(now Observation, transactions int) {
	before := g.loaded
	g.LoadedIn(now, transactions)
	g.loaded = g.loaded && before
}

// suspects counts the transactions since the last observation that touched
// what is ours, or may have. A generation that went backwards belongs to another
// kernel: there are more suspects than can be explained.
func (g *Guard) suspects(now Observation) uint32 {
	n := now.Generation - g.generation
	last := uint32(0) // counted from g.generation, so that wrapping does not matter
	for _, c := range now.Commits {
		if at := c.Generation - g.generation; at > last && at <= now.Generation-g.generation {
			last = at
			if !c.Touched {
				n--
			}
		}
	}
	return n
}
