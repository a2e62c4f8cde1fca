package wal_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/orchcore/orchcore/raftstore/wal"
	pb "go.etcd.io/raft/v3/raftpb"
)

// What was flushed survives a power failure; what was only appended does not.
func Example() {
	disk := wal.NewMemFS()
	options := wal.Options{FS: disk, ClusterID: 1, MemberID: 1, SegmentSizeBytes: 64 << 10}
	w, _, err := wal.Open("log", options)
	if err != nil {
		panic(err)
	}
	entry := func(index uint64, data string) *pb.Entry {
		return &pb.Entry{Term: new(uint64(1)), Index: &index, Data: []byte(data)}
	}
	w.AppendState(wal.HardState{Term: 1, Vote: 1})
	w.AppendEntries([]*pb.Entry{entry(1, "first"), entry(2, "second")})
	if err := w.Flush(); err != nil {
		panic(err)
	}
	w.AppendEntries([]*pb.Entry{entry(3, "third")})

	options.FS = disk.Crash(rand.New(rand.NewPCG(1, 1)))
	w, recovered, err := wal.Open("log", options)
	if err != nil {
		panic(err)
	}
	defer w.Close()
	for _, e := range recovered.Entries {
		fmt.Println(e.GetIndex(), string(e.GetData()))
	}
	// Output:
	// 1 first
	// 2 second
}
