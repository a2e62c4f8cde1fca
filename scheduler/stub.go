package scheduler

const (
	doNotSchedule  = "DoNotSchedule"
	scheduleAnyway = "ScheduleAnyway"
	policyHonor    = "Honor"
	policyIgnore   = "Ignore"
)

type InterPodAffinityArgs struct{}
type SpreadArgs struct{}
type PreemptionArgs struct{}
type interPodState struct{}

func (s interPodState) reset() interPodState { return interPodState{} }
func (s interPodState) clone() interPodState { return s }

type spreadState struct{}

func (s spreadState) reset() spreadState { return s }
func (s spreadState) clone() spreadState { return s }

type affinityTerm struct{}
type spreadConstraint struct{}

func compileSpread(*PodInfo) ([]spreadConstraint, error) { return nil, nil }
func (p *PodInfo) compileAffinity()                      {}
func (p *PodInfo) compileVolumes()                       {}
func featuresOf(*Pod) []string                           { return nil }

type ownerIndex struct{}
type disruptionBudget struct{}

// Nomination is a node on which a pod could run if victims were removed.
type Nomination struct {
	Node    string
	Victims []string
}
