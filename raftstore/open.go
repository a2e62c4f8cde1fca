package raftstore

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
	pb "go.etcd.io/raft/v3/raftpb"
)

// The values that the log keeps beside Raft's own.
const (
	// metaBoot counts the starts of the member: uvarint.
	metaBoot uint8 = 1 + iota
	// metaFounding are the members the cluster was founded with: number · { id:
	// uvarint · address }; none for a member that has joined later.
	metaFounding
	// metaToken is the SHA-256 of the cluster token.
	metaToken
	// metaForgotten says why the member must not start again: ErrForgotten.
	metaForgotten
)

// ErrCorrupt is matched by errors of Open when the files of a member contradict
// themselves in a way that no crash explains. Such a member must not start: it may
// have forgotten what it promised. Remove it from the cluster and add a new one.
var ErrCorrupt = wal.ErrCorrupt

// clusterID names a cluster by its token and founders, so that members that were
// configured differently never form one.
func clusterID(token string, members []Member) uint64 {
	ids := make([]uint64, 0, len(members))
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	h := sha256.New()
	h.Write(appendUvarints(appendBytes(nil, []byte(token)), ids))
	id := binary.LittleEndian.Uint64(h.Sum(nil))
	return max(id, 1)
}

// wantedClusterID is the id of the cluster that the config founds or joins.
func (c *Config) wantedClusterID() uint64 {
	if c.Join {
		return c.ClusterID
	}
	return clusterID(c.ClusterToken, c.Members)
}

// openReplica reads a member's files, or founds them, and makes a replica that
// has yet to be given a network.
func openReplica(dir string, cfg Config) (r *replica, err error) {
	if len(cfg.Members) == 0 {
		cfg.Members = []Member{{ID: cfg.ID}}
	}
	w, rec, err := wal.Open(filepath.Join(dir, "wal"), wal.Options{
		FS: cfg.FS, SegmentSizeBytes: cfg.SegmentSizeBytes, MemberID: cfg.ID,
		ClusterID: storedOr(cfg.FS, dir, cfg.wantedClusterID()),
		HeadsOnly: true,
	})
	if err != nil {
		if errors.Is(err, wal.ErrForeign) {
			err = fmt.Errorf("%w: %w", ErrWrongCluster, err)
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Abort())
		}
	}()
	r = &replica{
		id: cfg.ID, clusterID: rec.ClusterID, cfg: cfg, wal: w, logger: cfg.Logger,
		disk:    snapshotDir{fs: cfg.FS, dir: filepath.Join(dir, "snap")},
		pace:    pace{ratePerSecond: cfg.CatchUpRateBytes, acked: map[uint64]uint64{}},
		sending: map[uint64]*outgoing{}, told: map[uint64]bool{}, heard: map[uint64]uint64{},
		strangers: map[uint64]introduction{},
	}
	if err := cfg.FS.MkdirAll(r.disk.dir); err != nil {
		return nil, err
	}
	if err := r.disk.clean(rec.Marks); err != nil {
		return nil, err
	}
	boot, err := r.boot(rec)
	if err != nil {
		return nil, err
	}
	state, err := r.loadState(rec)
	if err != nil {
		return nil, err
	}
	log, err := newLog(rec, state, cfg)
	if err != nil {
		return nil, err
	}
	log.older = r.readOlder
	r.core, err = newCore(coreConfig{
		id: cfg.ID, boot: boot,
		heartbeatTicks: cfg.HeartbeatTicks, electionTicks: cfg.ElectionTicks,
		uncommittedMax: uint64(cfg.UncommittedSizeMax),
		leaseSpan:      cfg.leaseSpan(),
		logger:         raftLogger{cfg.Logger},
	}, log, state)
	if err == nil {
		r.leases.init(r)
		r.changes.r = r
		r.compactor = newCompactor(&cfg)
	}
	return r, err
}

// storedOr returns 0, which accepts the id that is stored, when there is a log
// already: the members in the config may have changed since it was founded.
func storedOr(fs wal.FS, dir string, fresh uint64) uint64 {
	names, err := fs.List(filepath.Join(dir, "wal"))
	if err == nil && slices.ContainsFunc(names, func(n string) bool { return filepath.Ext(n) == ".wal" }) {
		return 0
	}
	return fresh
}

// boot records this start, and the founding if this is the first one.
func (r *replica) boot(rec *wal.Recovered) (uint64, error) {
	token := sha256.Sum256([]byte(r.cfg.ClusterToken))
	if stored, ok := rec.Meta[metaToken]; ok && string(stored) != string(token[:]) {
		return 0, fmt.Errorf("%w: it was founded with another ClusterToken", ErrWrongCluster)
	}
	if reason, ok := rec.Meta[metaForgotten]; ok {
		return 0, fmt.Errorf("%w, as an earlier start has found: %s", ErrForgotten, reason)
	}
	boot, err := storedBoot(rec)
	if err != nil {
		return 0, err
	}
	boot++
	r.wal.AppendMeta(metaBoot, binary.AppendUvarint(nil, boot))
	if _, founded := rec.Meta[metaFounding]; !founded {
		if r.cfg.wantedClusterID() != rec.ClusterID {
			return 0, fmt.Errorf("%w: its founding was interrupted and had other members", ErrWrongCluster)
		}
		founding := appendMembers(nil, nil)
		if !r.cfg.Join {
			founding = appendMembers(nil, r.cfg.Members)
			rec.State = wal.HardState{Term: bootstrapTerm, Commit: bootstrapIndex}
			r.wal.AppendState(rec.State)
		}
		rec.Meta = map[uint8][]byte{metaFounding: founding}
		r.wal.AppendMeta(metaToken, token[:])
		r.wal.AppendMeta(metaFounding, founding)
	}
	return boot, r.wal.Flush()
}

// rememberForgotten keeps a member from starting again that has ended with
// ErrForgotten. What has betrayed it might be gone by then: the leader that knows its
// acknowledgements, or entries of its own that a later start has not forgotten.
func (r *replica) rememberForgotten(reason error) {
	r.wal.AppendMeta(metaForgotten, []byte(strings.TrimPrefix(reason.Error(), ErrForgotten.Error()+": ")))
	if err := r.wal.Flush(); err != nil {
		r.logger.Error("cannot record that the member must not start again", "error", err)
	}
}

// storedBoot is the number of starts that a log knows of.
func storedBoot(rec *wal.Recovered) (uint64, error) {
	stored, ok := rec.Meta[metaBoot]
	if !ok {
		return 0, nil
	}
	rd := reader{b: stored}
	boot := rd.uvarint()
	if rd.bad {
		return 0, fmt.Errorf("%w: number of starts is % x", ErrCorrupt, stored)
	}
	return boot, nil
}

func appendMembers(b []byte, members []Member) []byte {
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	b = binary.AppendUvarint(b, uint64(len(members)))
	for _, m := range members {
		b = binary.AppendUvarint(b, m.ID)
		b = appendBytes(b, []byte(m.Address))
	}
	return b
}

// members reads what appendMembers has written.
func (r *reader) members() []Member {
	members := make([]Member, r.count(2))
	for i := range members {
		members[i] = Member{ID: r.uvarint(), Address: string(r.bytes())}
	}
	return members
}

// loadState reads the newest snapshot that verifies, or makes the founding state.
// An older snapshot serves as long as the log goes on from it.
func (r *replica) loadState(rec *wal.Recovered) (*machine, error) {
	var broken error
	for _, mark := range slices.Backward(rec.Marks) {
		state, err := loadImage(r.disk.fs, r.disk.path(snapshotName(mark.Index, mark.Term)), r.clusterID, nil)
		if err == nil && (state.applied != mark.Index || state.term != mark.Term) {
			err = fmt.Errorf("%w: it is at %d/%d, expected %d/%d", ErrCorruptSnapshot, state.term, state.applied, mark.Term, mark.Index)
		}
		if err == nil {
			return state, nil
		}
		r.logger.Error("a snapshot cannot be used", "index", mark.Index, "error", err)
		broken = errors.Join(broken, err)
	}
	if len(rec.Heads) > 0 && rec.Heads[0].Index > bootstrapIndex+1 || len(rec.Heads) == 0 && broken != nil {
		return nil, fmt.Errorf("%w: the log begins at %d and no snapshot leads there: %w", ErrCorrupt, firstIndex(rec.Heads), broken)
	}
	rd := reader{b: rec.Meta[metaFounding]}
	members := rd.members()
	if rd.bad || len(rd.b) > 0 {
		return nil, fmt.Errorf("%w: founding members are % x", ErrCorrupt, rec.Meta[metaFounding])
	}
	return newMachine(members), nil
}

func firstIndex(heads []wal.EntryHead) uint64 {
	if len(heads) == 0 {
		return 0
	}
	return heads[0].Index
}

// newLog makes the log in memory from what was recovered and checks that it goes
// on from the state.
func newLog(rec *wal.Recovered, state *machine, cfg Config) (*raftLog, error) {
	log := &raftLog{
		conf:     state.conf,
		offset:   state.applied,
		heldMax:  cfg.CatchUpSizeBytes / heldShare,
		snapshot: &pb.SnapshotMetadata{},
	}
	log.offsetTerm, log.held = state.term, state.applied
	if state.applied > bootstrapIndex {
		log.snapshot = &pb.SnapshotMetadata{Index: new(state.applied), Term: new(state.term), ConfState: state.conf}
	}
	if n := len(rec.Heads); n > 0 && rec.Heads[n-1].Index >= state.applied {
		first := rec.Heads[0]
		heads, entries := rec.Heads, rec.Entries
		switch {
		case first.Index > state.applied+1:
			return nil, fmt.Errorf("%w: the log begins at %d and the state ends at %d", ErrCorrupt, first.Index, state.applied)
		case first.Index <= state.applied:
			log.offset, log.offsetTerm = first.Index, first.Term
			heads, entries = heads[1:], entries[min(1, len(entries)):]
		}
		log.recover(heads, entries)
	}
	if term, err := log.Term(state.applied); err != nil || term != state.term {
		return nil, fmt.Errorf("%w: entry %d has term %d, the state at it has term %d", ErrCorrupt, state.applied, term, state.term)
	}
	hard := rec.State
	hard.Commit = max(hard.Commit, state.applied)
	if lastTerm, _ := log.Term(log.last()); hard.Commit > log.last() || hard.Term < lastTerm {
		return nil, fmt.Errorf("%w: commit index is %d in term %d, the log ends at %d in term %d", ErrCorrupt, hard.Commit, hard.Term, log.last(), lastTerm)
	}
	log.hard = &pb.HardState{Term: new(hard.Term), Vote: new(hard.Vote), Commit: new(hard.Commit)}
	log.compact(log.reserve(state.applied, cfg.CatchUpEntries, cfg.CatchUpSizeBytes))
	log.trim(state.applied)
	return log, nil
}

// attach gives the replica what it works with besides its files.
func (r *replica) attach(net transport.Transport) {
	r.net = net
	r.connect()
}
