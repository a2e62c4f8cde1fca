package mvcc

import (
	"fmt"
)

// MaxLeaseTTL is the longest time to live of a lease in seconds, as in etcd.
const MaxLeaseTTL = 9_000_000_000

func leaseLess(a, b Lease) bool { return a.ID < b.ID }

// attachment says that a key is attached to a lease.
type attachment struct {
	lease int64
	key   string
}

func attachmentLess(a, b attachment) bool {
	if a.lease != b.lease {
		return a.lease < b.lease
	}
	return a.key < b.key
}

// LeaseGrant adds a lease. The proposer chooses the identifier and the TTL
// (seconds), so that every member grants the same.
func (s *Store) LeaseGrant(id, ttl int64) error {
	switch {
	case id == 0:
		detail := fmt.Sprintf("%d is no lease", id)
		return &RequestError{Field: "lease.id", Detail: detail, Err: ErrInvalidLease}
	case ttl <= 0:
		detail := fmt.Sprintf("%d s, expected 1 or more", ttl)
		return &RequestError{Field: "lease.ttl", Detail: detail, Err: ErrInvalidLease}
	case ttl > MaxLeaseTTL:
		detail := fmt.Sprintf("%d s, at most %d allowed", ttl, int64(MaxLeaseTTL))
		return &RequestError{Field: "lease.ttl", Detail: detail, Err: ErrLeaseTTLTooLarge}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live.leases.Has(Lease{ID: id}) {
		return &RequestError{Field: "lease.id", Detail: fmt.Sprint(id), Err: ErrLeaseExists}
	}
	s.live.grants++
	s.live.leases.ReplaceOrInsert(Lease{ID: id, TTL: ttl, Serial: s.live.grants})
	s.live.hash = hashNumbers(s.live.hash, hashLeaseGrant, uint64(id), uint64(ttl))
	s.frozen = nil
	s.measure()
	return nil
}

// LeaseRevoke removes a lease and deletes its keys, in key order, in one
// revision. Without keys the revision stays.
func (s *Store) LeaseRevoke(id int64) (DeleteResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live.leases.Has(Lease{ID: id}) {
		return DeleteResult{}, leaseNotFound("lease.id", id)
	}
	return s.endLease(id), nil
}

// LeaseExpire is LeaseRevoke for one grant of an identifier: a lease that has been
// revoked and granted again meanwhile is another one, and stays.
func (s *Store) LeaseExpire(id int64, serial uint64) (DeleteResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.live.leases.Get(Lease{ID: id}); !ok || l.Serial != serial {
		return DeleteResult{}, leaseNotFound("lease.id", id)
	}
	return s.endLease(id), nil
}

// LeaseCheckpoint notes how many seconds of a lease are left, for a counter of the
// time that has to start over; 0 means all.
func (s *Store) LeaseCheckpoint(id, remaining int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.live.leases.Get(Lease{ID: id})
	switch {
	case !ok:
		return leaseNotFound("lease.id", id)
	case remaining < 0 || remaining > l.TTL:
		detail := fmt.Sprintf("%d s, expected 0 to %d", remaining, l.TTL)
		return &RequestError{Field: "lease.remaining", Detail: detail, Err: ErrInvalidLease}
	}
	l.Remaining = remaining
	s.live.leases.ReplaceOrInsert(l)
	s.live.hash = hashNumbers(s.live.hash, hashLeaseCheckpoint, uint64(id), uint64(remaining))
	s.frozen = nil
	return nil
}

func (s *Store) endLease(id int64) DeleteResult {
	keys := s.live.leaseKeys(id)
	for _, key := range keys {
		if ver, ok := s.live.get(key, s.live.revision); ok {
			s.tombstone(ver)
		}
	}
	s.live.leases.Delete(Lease{ID: id})
	s.live.hash = hashNumbers(s.live.hash, hashLeaseRevoke, uint64(id), 0)
	s.frozen = nil
	s.commit()
	s.measure() // also without keys
	return DeleteResult{Revision: s.live.revision, Deleted: int64(len(keys))}
}

// Lease returns one entry of the lease table, and whether there is one.
func (s *Store) Lease(id int64) (Lease, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live.leases.Get(Lease{ID: id})
}

// LeasesFrom returns up to limit entries of the lease table from an identifier on.
func (s *Store) LeasesFrom(id int64, limit int) []Lease {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var part []Lease
	s.live.leases.AscendGreaterOrEqual(Lease{ID: id}, func(l Lease) bool {
		if len(part) == limit {
			return false
		}
		part = append(part, l)
		return true
	})
	return part
}

// Leases returns the lease table in the order of the identifiers.
func (s *Store) Leases() []Lease {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live.leaseTable()
}

// LeaseKeys returns the keys attached to a lease, in order.
func (s *Store) LeaseKeys(id int64) ([][]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.live.leases.Has(Lease{ID: id}) {
		return nil, leaseNotFound("lease.id", id)
	}
	return s.live.leaseKeys(id), nil
}

func (v *view) leaseTable() []Lease {
	table := make([]Lease, 0, v.leases.Len())
	v.leases.Ascend(func(l Lease) bool {
		table = append(table, l)
		return true
	})
	return table
}

func (v *view) leaseKeys(id int64) [][]byte {
	var keys [][]byte
	v.attached.AscendGreaterOrEqual(attachment{lease: id}, func(a attachment) bool {
		if a.lease != id {
			return false
		}
		keys = append(keys, []byte(a.key))
		return true
	})
	return keys
}

// moveLease attaches a key to another lease; 0 is none.
func (s *Store) moveLease(key []byte, from, to int64) {
	if from == to {
		return
	}
	if from != 0 {
		s.live.attached.Delete(attachment{lease: from, key: string(key)})
	}
	if to != 0 {
		s.live.attached.ReplaceOrInsert(attachment{lease: to, key: string(key)})
	}
}

func leaseNotFound(field string, id int64) error {
	return &RequestError{Field: field, Detail: fmt.Sprintf("lease %d", id), Err: ErrLeaseNotFound}
}
