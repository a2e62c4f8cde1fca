package raftstore

import (
	"fmt"
	"io"
	"slices"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// DescribeEntry says in one line what an entry of the log holds: for tools that
// print a log (wal.Read). It never fails; what it cannot read, it says so of.
func DescribeEntry(e *pb.Entry) string {
	if e.GetType() == pb.EntryConfChange || e.GetType() == pb.EntryConfChangeV2 {
		return describeMembership(e)
	}
	if len(e.Data) == 0 {
		return "first entry of a leader"
	}
	return describeCommands(e.Data)
}

func describeCommands(data []byte) string {
	h, err := decodeHeader(data)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "from %x.%d #%d:", h.origin, h.boot, h.sequence)
	r := reader{b: h.commands}
	for range h.count {
		kind, body, err := nextCommand(&r)
		if err != nil {
			fmt.Fprintf(&b, " unreadable: %v", err)
			break
		}
		fmt.Fprintf(&b, " %s;", describeCommand(kind, body))
	}
	return strings.TrimSuffix(b.String(), ";")
}

// describeTextMax bounds how much of a key is shown, in bytes.
const describeTextMax = 60

func describeKey(key []byte) string {
	if len(key) > describeTextMax {
		return fmt.Sprintf("%q…", key[:describeTextMax])
	}
	return fmt.Sprintf("%q", key)
}

func describeCommand(kind commandKind, body []byte) string {
	r := reader{b: body}
	text := ""
	switch kind {
	case commandPut:
		p := r.put()
		text = fmt.Sprintf("put %s (%d bytes)", describeKey(p.Key), len(p.Value))
	case commandDelete:
		d := r.delete()
		text = "delete " + describeKey(d.Key)
		if len(d.End) > 0 {
			text += " to " + describeKey(d.End)
		}
	case commandTxn:
		t := r.txn(0)
		text = fmt.Sprintf("txn of %d compares, %d and %d operations", len(t.If), len(t.Then), len(t.Else))
	case commandCompact:
		text = fmt.Sprintf("compact to %d", r.varint())
	case commandOpen:
		text = "open a session"
	case commandSession:
		session, sequence := r.uvarint(), r.uvarint()
		r.uvarint() // floor
		inner := commandKind(r.byte())
		if inner >= commandOpen { // sessions do not nest
			return fmt.Sprintf("unreadable command of kind %d in a session", inner)
		}
		text = fmt.Sprintf("session %d #%d: %s", session, sequence, describeCommand(inner, r.b))
	case commandAnnounce:
		text = fmt.Sprintf("announce member %x (%d bytes)", r.uvarint(), len(r.bytes()))
	case commandMembers:
		text = describeChanges(r.changes())
	default:
		return fmt.Sprintf("command of kind %d (%d bytes)", kind, len(body))
	}
	if r.bad {
		return fmt.Sprintf("unreadable command of kind %d", kind)
	}
	return text
}

func describeChanges(changes []memberChange) string {
	var parts []string
	for _, c := range changes {
		switch c.kind {
		case memberAddLearner:
			parts = append(parts, fmt.Sprintf("add learner %x at %s", c.id, describeKey([]byte(c.address))))
		case memberPromote:
			parts = append(parts, fmt.Sprintf("promote %x", c.id))
		case memberRemove:
			parts = append(parts, fmt.Sprintf("remove %x", c.id))
		case memberAddVoter:
			parts = append(parts, fmt.Sprintf("add voter %x at %s", c.id, describeKey([]byte(c.address))))
		case memberMove:
			parts = append(parts, fmt.Sprintf("move %x to %s", c.id, describeKey([]byte(c.address))))
		default:
			parts = append(parts, fmt.Sprintf("unknown change %d of %x", c.kind, c.id))
		}
	}
	return strings.Join(parts, " and ")
}

func describeMembership(e *pb.Entry) string {
	cc := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(e.Data, cc); err != nil {
		return "unreadable: " + err.Error()
	}
	if len(cc.Context) == 0 {
		return "end of a joint configuration"
	}
	return "members: " + describeCommands(cc.Context)
}

// ImageInfo is what a snapshot file or a backup says about itself.
type ImageInfo struct {
	ClusterID uint64
	// Index and Term are those of the last log entry in it.
	Index, Term uint64
	// Revision and CompactedRevision are those of the store in it.
	Revision, CompactedRevision int64
	// Members are those of the cluster at Index, by id.
	Members []Member
	// Voters and Learners are the ids of the members by what they are.
	Voters, Learners []uint64
}

// VerifyImage reads a snapshot file or a backup to its end, verifies every byte of
// it and returns what it says. It takes as much memory as the state.
func VerifyImage(r io.Reader) (ImageInfo, error) {
	cluster, m, err := readAnyImage(r)
	if err != nil {
		return ImageInfo{}, err
	}
	info := ImageInfo{
		ClusterID: cluster, Index: m.applied, Term: m.term,
		Revision: m.store.Revision(), CompactedRevision: m.store.CompactedRevision(),
		Voters: slices.Clone(m.conf.GetVoters()), Learners: slices.Clone(m.conf.GetLearners()),
	}
	for _, id := range m.memberIDs() {
		info.Members = append(info.Members, Member{id, m.members[id]})
	}
	return info, nil
}
