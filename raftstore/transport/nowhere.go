package transport

// Nowhere is the Transport of a cluster of one.
type Nowhere struct{}

var _ Transport = Nowhere{}

// Send implements Transport: there is nobody.
func (Nowhere) Send(uint64, Lane, uint32, []byte) bool { return false }

// SetPeer implements Transport.
func (Nowhere) SetPeer(uint64, string) {}

// RemovePeer implements Transport.
func (Nowhere) RemovePeer(uint64) {}

// SetNotice implements Transport.
func (Nowhere) SetNotice([]byte) {}

// Stats implements Transport.
func (Nowhere) Stats() Stats { return Stats{} }

// Close implements Transport.
func (Nowhere) Close() error { return nil }
