package proxyrules

import (
	"bytes"
	"slices"
	"strings"
)

// AppendNFT appends the transaction for nft -f that takes table kube-proxy
// from the old rules to the new ones. It names only what changed; with one
// endpoint changed it is a line or two. When the node's own settings changed
// it replaces the table. An empty update appends nothing.
//
// Chains that nothing leads to any more are emptied; AppendNFTCleanup has
// their removal.
func (u *Update) AppendNFT(dst []byte) []byte {
	if u.Empty() {
		return dst
	}
	if u.full {
		return u.to.AppendNFT(dst)
	}
	d := u.nftDiff()
	w := newNFTText(u.to)
	w.out = dst
	for _, i := range d.newMaps {
		w.addEndpointMap(mapAt(i))
	}
	w.out = append(w.out, d.create.out...)
	d.deleted.append(w, "delete element")
	w.out = append(w.out, d.rules.out...)
	d.added.append(w, "add element")
	w.out = append(w.out, d.drop.out...)
	for _, i := range d.oldMaps {
		w.cmd("delete map", mapAt(i).String())
	}
	return w.out
}

// AppendNFTCleanup appends a second transaction: it deletes the chains that
// AppendNFT emptied. Linux before 6.2 refuses that for about a second after
// the element that led to a chain went away; so run it then, or later, but
// before the text of the next Update, which may need a chain again.
func (u *Update) AppendNFTCleanup(dst []byte) []byte {
	if u.full || len(u.changes) == 0 {
		return dst
	}
	return append(dst, u.nftDiff().cleanup.out...)
}

// elementChanges are elements by container, in the order in which containers
// came.
type elementChanges struct {
	names []string
	texts map[string][]string
}

func (e *elementChanges) add(container, text string) {
	if e.texts == nil {
		e.texts = map[string][]string{}
	}
	if _, known := e.texts[container]; !known {
		e.names = append(e.names, container)
	}
	e.texts[container] = append(e.texts[container], text)
}

func (e *elementChanges) append(w *nftText, verb string) {
	for _, name := range e.names {
		for chunk := range slices.Chunk(e.texts[name], elementsPerLine) {
			w.cmd(verb, name, "{", strings.Join(chunk, ", "), "}")
		}
	}
}

// nftDiff is a transaction in the making.
type nftDiff struct {
	*Update
	old, new         *nftText
	newMaps, oldMaps []int // endpoint maps that appear, that go
	create           nftText
	deleted, added   elementChanges
	rules            nftText
	drop             nftText // sets that nothing uses any more
	cleanup          nftText
	dropped          map[string]bool // shared elements that were deleted
}

func (u *Update) nftDiff() *nftDiff {
	d := &nftDiff{Update: u, old: newNFTText(u.from), new: newNFTText(u.to), dropped: map[string]bool{}}
	d.create, d.rules, d.drop, d.cleanup = *newNFTText(u.to), *newNFTText(u.to), *newNFTText(u.to), *newNFTText(u.to)
	for _, ch := range u.withMoved() {
		d.policy(ch)
	}
	for i := range u.to.spans.maps {
		before, after := len(u.from.spans.at(i)) > 0, len(u.to.spans.at(i)) > 0
		if after && !before {
			d.newMaps = append(d.newMaps, i)
		}
		if before && !after {
			d.oldMaps = append(d.oldMaps, i)
		}
	}
	return d
}

// withMoved adds the policies that did not change, but whose lists lie
// elsewhere now because others came or went.
func (u *Update) withMoved() []change {
	out := u.changes
	for i := range u.to.spans.maps {
		if u.from.spans.maps[i] == u.to.spans.maps[i] {
			continue
		}
		was := u.from.spans.at(i)
		for _, q := range u.to.spans.at(i) { // both by policy
			for len(was) > 0 && was[0].compare(&q) < 0 {
				was = was[1:]
			}
			if len(was) == 0 || was[0].compare(&q) != 0 {
				continue
			}
			p := q.policy
			if was[0].span != q.span && !u.changed(p.Key) && !slices.Contains(out, change{p, p}) {
				out = append(slices.Clip(out), change{p, p})
			}
			was = was[1:]
		}
	}
	return out
}

func (u *Update) changed(k PortKey) bool {
	_, found := slices.BinarySearchFunc(u.changes, k, func(ch change, k PortKey) int { return ch.key().compare(k) })
	return found
}

// policy adds what one change of a policy takes.
func (d *nftDiff) policy(ch change) {
	var before, after sides
	if ch.old != nil {
		before = d.side(d.old, ch.old, d.from.spans.of(ch.old))
	}
	if ch.new != nil {
		after = d.side(d.new, ch.new, d.to.spans.of(ch.new))
	}
	d.objects(ch, before, after)
	d.elements(before, after)
	d.endpoints(before, after)
}

// sides is a policy as one of the two RuleSets has it.
type sides struct {
	p      *Policy
	spans  spans
	chains map[string]string // rules by chain
	order  []string
	sets   []string // affinity sets
}

func (d *nftDiff) side(w *nftText, p *Policy, s spans) sides {
	out := sides{p: p, spans: s, chains: map[string]string{}}
	w.out = w.out[:0]
	names := namesOf(p)
	out.order = names.chainsOf(p)
	if p.Affinity != 0 {
		for i := range p.Reachable {
			name := nftName(p.Key, p.Reachable[i].text)
			out.order = append(out.order, nftEndpoint+name)
			out.sets = append(out.sets, name)
		}
	}
	for _, c := range out.order {
		out.chains[c] = ""
	}
	w.rules(p, names, s)
	for line := range bytes.Lines(w.out) {
		chain := bytes.Fields(line)[4] // add rule ip kube-proxy CHAIN
		out.chains[string(chain)] += string(line)
	}
	return out
}

// objects adds, rewrites and drops chains and affinity sets.
func (d *nftDiff) objects(ch change, before, after sides) {
	fresh := ch.old != nil && ch.new != nil && ch.old.Affinity != ch.new.Affinity // sets cannot change their timeout
	for _, c := range after.order {
		rules, had := before.chains[c]
		if !had {
			d.create.cmd("add chain", c)
		}
		if !had || rules != after.chains[c] || fresh {
			d.rules.cmd("flush chain", c)
			d.rules.out = append(d.rules.out, after.chains[c]...)
		}
	}
	for _, c := range before.order {
		if _, kept := after.chains[c]; !kept {
			d.rules.cmd("flush chain", c)
			d.cleanup.cmd("delete chain", c)
		}
	}
	for _, s := range before.sets {
		switch kept := slices.Contains(after.sets, s); {
		case kept && fresh:
			// Rules that use the set are in chains which this very transaction
			// rewrites: they must be emptied before the set can be made anew.
			d.create.cmd("flush chain", nftEndpoint+s)
			for _, c := range before.order[:len(before.order)-len(before.sets)] {
				d.create.cmd("flush chain", c)
			}
			d.create.cmd("delete set", nftAffinity+s)
			d.create.affinitySet(after.p, s)
		case !kept:
			d.drop.cmd("delete set", nftAffinity+s)
		}
	}
	for _, s := range after.sets {
		if !slices.Contains(before.sets, s) {
			d.create.affinitySet(after.p, s)
		}
	}
}

// elements compares the elements of sets and maps. Sets are shared between
// policies; the tables know whether others still need an element.
func (d *nftDiff) elements(before, after sides) {
	type at struct {
		container int
		key       string
	}
	was := map[at]string{}
	var order []at
	if before.p != nil {
		before.p.elements(namesOf(before.p), func(c int, e element) {
			k := at{c, e.key()}
			was[k] = e.value()
			order = append(order, k)
		})
	}
	if after.p != nil {
		kept := d.shared(d.from.table, after.p)
		after.p.elements(namesOf(after.p), func(c int, e element) {
			k := at{c, e.key()}
			value, had := was[k]
			delete(was, k)
			switch {
			case had && value == e.value() || !had && kept[k.key] && c <= setHairpin:
				return
			case had:
				d.deleted.add(nftContainerNames[c], k.key)
			}
			d.added.add(nftContainerNames[c], e.String())
		})
	}
	if before.p == nil {
		return
	}
	needed := d.shared(d.to.table, before.p)
	for _, k := range order {
		if _, gone := was[k]; !gone {
			continue
		}
		delete(was, k)
		name := nftContainerNames[k.container] + " " + k.key
		if k.container <= setHairpin && (needed[k.key] || d.dropped[name]) {
			continue
		}
		d.dropped[name] = true
		d.deleted.add(nftContainerNames[k.container], k.key)
	}
}

// shared tells which of p's elements of the sets are in a table.
func (d *nftDiff) shared(t *table, p *Policy) map[string]bool {
	out := map[string]bool{p.ClusterIP.String(): t.isClusterIP(p.ClusterIP)}
	for i := range p.Reachable {
		if b := &p.Reachable[i]; b.Local {
			e := hairpinElement(b, p.Key.Protocol)
			out[e.key()] = t.has(hairpinKey(b, p.Key.Protocol))
		}
	}
	return out
}

// endpoints compares the elements of the endpoint maps.
func (d *nftDiff) endpoints(before, after sides) {
	lists := func(s sides) [2]placed {
		if s.p == nil {
			return [2]placed{}
		}
		return [2]placed{{s.spans.cluster, s.p.Cluster}, {s.spans.local, s.p.Local}}
	}
	a, b := lists(before), lists(after)
	for i := range a {
		d.list(a[i], b[i])
	}
}

// placed is a list of backends with its place.
type placed struct {
	span span
	list []Backend
}

func (p *placed) at(id mapID, index uint32) (*Backend, bool) {
	if p.span.n == 0 || p.span.id != id || index-p.span.base >= p.span.n {
		return nil, false
	}
	return &p.list[index-p.span.base], true
}

func (d *nftDiff) list(a, b placed) {
	var scratch []byte
	for i := range a.span.n {
		index := a.span.base + i
		if now, ok := b.at(a.span.id, index); !ok || now.text != a.list[i].text {
			scratch = appendEndpointElement(scratch[:0], index, &a.list[i])
			key, _, _ := strings.Cut(string(scratch), " : ")
			d.deleted.add(a.span.id.String(), key)
		}
	}
	for i := range b.span.n {
		index := b.span.base + i
		if was, ok := a.at(b.span.id, index); !ok || was.text != b.list[i].text {
			scratch = appendEndpointElement(scratch[:0], index, &b.list[i])
			d.added.add(b.span.id.String(), string(scratch))
		}
	}
}
