package api

// Namespace is the view of a namespace; pod affinity may select by its labels.
type Namespace struct {
	TypeMeta
	Metadata ObjectMeta `json:"metadata"`
}
