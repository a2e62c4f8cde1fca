// Package mvcc is etcd's data model as a pure in-memory store: a flat key
// space in which every write makes a new revision and old revisions stay
// readable until they are compacted.
package mvcc
