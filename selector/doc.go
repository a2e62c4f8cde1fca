// Package selector matches Kubernetes labels against label selectors and node
// selectors.
//
// # Problem
//
// Controllers, services, schedulers and budgets find their objects by labels.
// The same small question, "do these labels match?", is asked millions of
// times with selectors that change rarely. So a selector is parsed and
// compiled once, labels are turned once into a sorted set, and matching the two
// neither allocates nor hashes.
//
// # Terms
//
// A label is a key with a value; a label whose value is empty is there, one
// whose key is missing is absent. A [Requirement] is a condition on one label:
// key, [Operator], values. A [Selector] is the conjunction of requirements.
// [LabelSelector] and [NodeSelector] are the JSON objects of those names; a
// NodeSelector is a disjunction of terms.
//
// What the operators say about a label (NotIn and NotEquals hold for an absent
// one, and a value that is no integer satisfies neither Gt nor Lt):
//
//	operator          written              absent  with value v
//	In, Equals        k in (a,b), k=a      false   v is listed
//	NotIn, NotEquals  k notin (a,b), k!=a  true    v is not listed
//	Exists            k                    false   true
//	DoesNotExist      !k                   true    false
//	Gt, Lt            k>5, k<5             false   v is an int64 above (below)
//
// nil and empty differ everywhere: a nil LabelSelector is [Nothing], an empty
// one [Everything]; a nil NodeSelector is no constraint, one without terms
// matches no node, and neither does a term without requirements.
//
// # Algorithm
//
// Parsing is one pass with one token of lookahead, O(bytes + n log n) for n
// requirements and list values. Matching is O(r) for r requirements and up to
// eight labels, whatever the keys; O(r·n/8) up to 64 labels, O(r·log n) beyond. Requirements are
// tried in the order equality, list, existence, bounds, exclusion: what rejects
// most objects for the least work first.
//
// An [Index] answers "which objects does this selector match?" by set algebra:
// per label, per key and per bit of integer values it keeps the set of objects
// that have it. A query costs O(objects/64) word operations per set it touches;
// a single positive requirement is counted in O(1). A [Registry] answers the
// reverse, "which selectors match these labels?": each selector waits at one
// pair or key that it cannot do without, the one that occurs least often in the
// labels asked about, and only selectors waiting at what the labels have are
// tried.
//
// Reasoning ([Satisfiable], [Overlap], [Implies], [Equivalent], [Simplify])
// turns a selector into a product: per key the set of states that the label may
// be in. Products make all of it O(n log n) for n values. Alternatives
// ([NodesImply]) are co-NP-complete and take a step budget; the answer may be
// [Unknown] and is never wrong.
//
// # Data layout
//
//	Labels ──► first  a tag byte of each key, labels 0..7 in one word
//	           rest   the same for labels 8.., a word for each eight
//	           pairs  sorted by key; per label a pointer to the process-wide copy of
//	                  {key, value} and one to that of key: equal labels, equal pointers
//	           ints   the numbers that values spell
//
//	Selector ► clauses in the order of evaluation, each
//	           tag of key in all eight bytes │ pointer(s) to {key, value} │ pointer to key │ bound
//
// One word comparison finds the labels whose tag agrees, then one pointer
// comparison decides equality. Tags may collide: that costs a comparison and
// never an answer.
//
//	Index ► dictionary  key ─► { any, value ─► number, bits 0..63 of integers }
//	        postings    number ─► one id │ chunks of 16,384 ids, each a list or a bitmap
//	        keys        id ─► K                      copied page by page under a Snapshot
//
//	Registry ► pairs, keys ─► anchor { places of waiting selectors, how often seen }
//
// # Guarantees
//
// Selectors, labels, matchers and snapshots are immutable and safe for
// concurrent use; Index and Registry are safe for concurrent use, and a
// Snapshot stays as it is while writers go on.
// Results, printed forms and errors do not depend on map order. Matching
// allocates nothing; nor does Index.Count with up to eight requirements, lists
// of values and bounds apart; nor Registry.AppendMatches with up to 64 results.
// [Parse] allocates the list of requirements and, when there are lists of
// values, one block for them, besides registering label pairs that the process
// has not seen (package unique; the garbage collector drops those that nothing
// uses). Inputs may be hostile: bad ones give a [*ParseError] with the offset,
// or a [*FieldError] with the path.
//
// # Differences from upstream
//
// Differs: Nothing prints as "<nothing>", which Parse reads back; upstream
// prints "", which reads as Everything.
//
// Differs: a NUL byte in a selector string is an error; upstream silently ends
// the word or the whole input there.
//
// Differs: ParseLabels returns the empty set with an error; upstream returns
// what it read before the fault.
//
// Differs: values of a Requirement are kept sorted and copied; upstream keeps
// the order and the caller's slice.
//
// Differs: where upstream reports a random one of several faulty matchLabels
// entries, Compile reports the first in key order.
//
// Differs: Selector.LabelSelector keeps the meaning: a=1,a=2 stays two
// requirements where upstream drops one, and a!=1 becomes NotIn where upstream
// gives an error.
//
// Differs: LabelSelector.Map refuses two values for one key; upstream lets the
// later one win.
//
// Differs: selector and label-set strings are limited to [InputBytesMax].
//
// Differs: an error text repeats at most 400 bytes of a value and 100 faults of
// an object; upstream repeats everything.
//
// Differs: JSON field names are matched without regard to case, as
// encoding/json does; the API server wants the exact case.
//
// # Sources
//
// Behaviour: k8s.io/apimachinery v0.36.3 (labels, validation) and
// k8s.io/component-helpers v0.36.3 (node affinity). Tags in a word: the same
// idea as the control bytes of Swiss tables. Chunks: Roaring bitmaps (Lemire et
// al.). Bounds: bit-sliced indexes (O'Neil and Quass, 1997). Anchors: Calico's
// label restriction index.
//
// # Reading order
//
// requirement.go (the definition), selector.go, clause.go (its fast twin),
// labels.go, parse.go, validate.go, wire.go, node.go, admit.go, convert.go,
// errors.go; then index.go,
// query.go, postings.go, pages.go, dictionary.go; registry.go; values.go,
// reason.go, reason_node.go, explain.go.
package selector
