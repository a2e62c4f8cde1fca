package raftstore

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var simMutants = flag.Bool("sim.mutants", false, "put each known fault back in and see that the simulator finds it")

// mutant is a fault that some system has shipped, as a change of one place.
type mutant struct {
	name, file, old, new string
}

// mutants are the faults that the simulator must find. Production code has no
// switch for them: each is compiled from a changed copy of one file.
var mutants = []mutant{
	{"a flush does not sync", "wal/wal.go",
		"if err := w.file.Sync(); err != nil {\n\t\treturn fmt.Errorf(\"sync %s: %w\", current.name, err)\n\t}", ""},
	{"a new segment's name is not synced", "wal/wal.go",
		"return w.opts.FS.SyncDir(w.dir)\n}\n\n// encode", "return nil\n}\n\n// encode"},
	{"what a failed sync left in the page cache is trusted after a restart", "wal/recover.go",
		"if err := w.secure(); err != nil {", "if err := error(nil); err != nil {"},
	{"a failed sync is taken for a success", "wal/wal.go",
		"if err := w.file.Sync(); err != nil {\n\t\treturn fmt.Errorf(\"sync %s: %w\", current.name, err)\n\t}", "_ = w.file.Sync()"},
	{"a segment begins with state that is not durable yet", "wal/wal.go",
		"batch{buf: w.flushed.encode(w.opts.Group)}", "batch{buf: w.appended.encode(w.opts.Group)}"},
	{"segments are released up to the newest snapshot's successor", "persist.go",
		"r.wal.Release(release)", "r.wal.Release(release + 1000)"},
	{"the hard state is not written", "persist.go",
		"if t.append.Term != nil {", "if false {"},
	{"a vote is answered before it is durable", "wal/wal.go",
		"s.Term != durable.Term || s.Vote != durable.Vote {", "durable == nil {"},
	{"acknowledgements go out before the write", "persist.go",
		"if r.syncTook < slowSync && !r.diskBusy() {\n\t\ttook, err := r.write(batch)\n\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn r.wrote(batch, took)\n\t}",
		"if r.syncTook < slowSync {\n\t\tif err := r.wrote(batch, 0); err != nil {\n\t\t\treturn err\n\t\t}\n\t\tr.sendAll()\n\t\t_, err := r.write(batch)\n\t\treturn err\n\t}"},
	{"a write that needs no answer at once is never synced", "persist.go",
		"len(t.append.Responses) > 0 && r.wal.Owing() || r.wal.Buffered() > unsyncedMax", "len(t.append.Entries) > 0 && len(t.append.Responses) > 2"},
	{"a snapshot's name is not synced", "snapshot.go",
		"return d.fs.SyncDir(d.dir)", "return nil"},
	{"a snapshot's content is not synced", "image.go",
		"return f.Sync()", "return nil"},
	{"a received snapshot is not synced", "transfer.go",
		"errors.Join(in.file.Sync(), in.file.Close())", "in.file.Close()"},
	{"an installed snapshot does not replace the log on disk", "persist.go",
		"Term: t.image.state.term, Reset: true})", "Term: t.image.state.term})"},
	{"entries that were sent twice apply twice", "machine.go",
		"if h.sequence < o.floor || o.seen[h.sequence] {", "if false {"},
	{"what was applied is forgotten in snapshots", "image.go",
		"b = appendUvarints(b, slices.Sorted(maps.Keys(o.seen)))", "b = appendUvarints(b, nil)"},
	{"the number of starts is not durable", "open.go",
		"boot++\n", "boot = 1\n"},
	{"a sole voter answers reads at once", "read.go",
		"return err != nil || term != status.GetTerm()", "return err != nil && term != status.GetTerm()"},
	{"reads are answered before their index is applied", "read.go",
		"if question.index > c.state.applied {", "if false {"},
	{"reads are answered without asking anybody", "read.go",
		"q.open = &question{requests: q.waiting}", "c.fx.done = append(c.fx.done, q.waiting...)\n\tq.count -= len(q.waiting)\n\tq.waiting = nil\n\tif true {\n\t\treturn\n\t}\n\tq.open = &question{requests: q.waiting}"},
	{"a lease is counted from the answer", "readlease.go",
		"q.term, q.asked+l.span", "q.term, c.now+l.span"},
	{"a lease lasts longer than an election", "readlease.go",
		"*tick*3/4)", "*tick*3)"},
	{"a leader that offers leadership uses its lease", "readlease.go",
		"l.offered != l.term && ", ""},
	{"a member that starts votes at once", "readlease.go",
		"return c.lease.span > 0 && c.ticks <= c.electionTicks &&", "return false &&"},
	{"writes are not proposed again", "propose.go",
		"func (c *core) retryWrites() {\n", "func (c *core) retryWrites() {\n\tif true {\n\t\treturn\n\t}\n"},
	{"the end of a snapshot's transfer is not reported", "transfer.go",
		"r.core.raw.ReportSnapshot(o.to, status)", ""},
	{"a member that is being replaced is out at once", "member.go",
		"[][]uint64{conf.Voters, conf.Learners, conf.VotersOutgoing, conf.LearnersNext}", "[][]uint64{conf.Voters, conf.Learners, conf.LearnersNext}"},
	{"a removed member ends when the first one tells it", "replica.go",
		"if told >= Quorum(len(voters)) {", "if told >= 0 {"},
	{"a learner trusts that its leader is there", "replica.go",
		"leader != raft.None && r.heardLately(leader)", "leader != raft.None"},
	{"a removed member refuses whoever has a shorter log", "core.go",
		"(t == pb.MsgVote || t == pb.MsgPreVote) && c.state.removed[c.id]", "t == pb.MsgVote && c.state.removed[c.id] && false"},
	{"a learner gets a snapshot from before it was added", "raftlog.go",
		"if l.snapshot.GetIndex() == 0 || l.snapshot.GetIndex() < l.membersIndex {", "if l.snapshot.GetIndex() == 0 {"},
	{"a session's results are forgotten in snapshots", "image.go",
		"return m.appendSessions(b)", "return (&machine{steps: m.steps}).appendSessions(b)"},
	{"an expiry counts in any term", "lease_command.go",
		"if term != m.entryTerm {", "if false {"},
	{"a new leader gives leases no time of its own", "lease_desk.go",
		"c.ticks+d.ticksOf(left)+c.electionTicks", "c.ticks+min(1, d.ticksOf(left))"},
	{"calls about leases are answered without asking anybody", "lease_desk.go",
		"d.r.core.read(&request{lease: call, internal: true, done: make(chan struct{}, 1)})\n", "d.confirmed(call)\n"},
	{"a lease is renewed while its end is on its way", "lease_desk.go",
		"case d.count.expiring[l.ID]:", "case false:"},
	{"a session repeats what it has done", "session.go",
		"if kept, ok := s.results[sequence]; ok {", "if kept, ok := s.results[sequence]; ok && false {"},
}

// TestMutantsFollowTheCode sees that every mutant still changes exactly one place.
func TestMutantsFollowTheCode(t *testing.T) {
	for _, m := range mutants {
		source, err := os.ReadFile(m.file)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(source), m.old), "%s: %s", m.file, m.name)
	}
}

// TestMutants runs the simulator on every mutant. It takes minutes and is meant to
// be asked for: go test ./raftstore -run Mutants -sim.mutants -v -timeout 1h
func TestMutants(t *testing.T) {
	if !*simMutants {
		t.Skip("needs -sim.mutants: it compiles and simulates every mutant")
	}
	seeds := max(*simSeeds, 1500)
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			out, err := m.simulate(t, seeds)
			if err == nil {
				t.Fatalf("survives %d seeds", seeds)
			}
			finding := regexp.MustCompile(`seed (\d+) at [^\n]*`).FindString(out)
			if len(finding) > 200 {
				finding = finding[:200] + " …"
			}
			require.NotEmpty(t, finding, "it does not compile, or fails outside of the simulation:\n%s", out)
			t.Log(finding)
		})
	}
}

// simulate runs the simulator with one file replaced.
func (m mutant) simulate(t *testing.T, seeds int) (string, error) {
	path, err := filepath.Abs(m.file)
	require.NoError(t, err)
	source, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), m.old), "%s has changed: the mutant must follow", m.file)
	changed := filepath.Join(t.TempDir(), "mutant.go")
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	require.NoError(t, err)
	list := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(list, overlay, 0o600))
	cmd := exec.Command("go", "test", "-vet=off", "-overlay="+list, "-failfast", "-run=^TestSim", ".", fmt.Sprintf("-sim.seeds=%d", seeds), fmt.Sprintf("-sim.seed=%d", *simSeed))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
