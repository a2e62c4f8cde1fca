package etcdapi

import (
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orchcore/orchcore/raftstore"
)

// Alarm implements pb.MaintenanceServer. The answer has the alarms that were asked
// for, or the one that was raised or ended.
func (s maintenanceServer) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	present, err := s.store.Alarms(call)
	if err != nil {
		return nil, wireError(call, err)
	}
	a := raftstore.Alarm{Member: r.GetMemberID(), Type: enum[raftstore.AlarmType](r.GetAlarm())}
	stands := slices.Contains(present, a)
	res := &pb.AlarmResponse{}
	switch r.GetAction() {
	case pb.AlarmRequest_GET:
		for _, p := range present {
			if r.GetAlarm() == pb.AlarmType_NONE || p.Type == a.Type {
				res.Alarms = append(res.Alarms, alarmMember(p))
			}
		}
	case pb.AlarmRequest_ACTIVATE:
		if r.GetAlarm() == pb.AlarmType_NONE {
			break
		}
		if err = s.store.RaiseAlarm(call, a); err == nil {
			res.Alarms = append(res.Alarms, alarmMember(a))
		}
	case pb.AlarmRequest_DEACTIVATE:
		if !stands {
			break
		}
		if err = s.store.DisarmAlarm(call, a); err == nil {
			res.Alarms = append(res.Alarms, alarmMember(a))
		}
	default:
		err = status.Errorf(codes.InvalidArgument, "etcdapi: alarm action is %d, expected 0 to 2", r.GetAction())
	}
	if err != nil {
		return nil, wireError(call, err)
	}
	res.Header = s.headerNow()
	return res, nil
}

func alarmMember(a raftstore.Alarm) *pb.AlarmMember {
	return &pb.AlarmMember{MemberID: a.Member, Alarm: pb.AlarmType(a.Type)}
}
