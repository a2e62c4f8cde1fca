package scheduler

import (
	"fmt"

	"github.com/orchcore/orchcore/selector"
)

// PodInfo is a pod compiled for scheduling: computed once, immutable after.
type PodInfo struct {
	Pod       *Pod
	Namespace string
	Labels    selector.Labels
	Priority  int32
	// Request is what the pod needs on its node, the form filters compare.
	Request Resources

	key podKey
	// requested is what the pod takes on the node it is on: Request, with what
	// a resize under way has allocated.
	requested          Resources
	nonZeroCPUMilli    int64
	nonZeroMemoryBytes int64
	// scored is the request that NodeResourcesFit scores with: stand-ins for
	// what is missing, pod-level requests ignored (kube-scheduler 1.36 never
	// hands the scorer the feature gate).
	scored Resources

	hostPorts []hostPort
	// claims are namespace/name of the claims that its volumes name, which
	// nodes count; volumeClaims has those of ephemeral volumes too.
	claims       []string
	volumeClaims []podClaim
	images       []string // normalised names, one per container

	nodes nodeRequirement
	// hasAffinity: the pod has a podAffinity or podAntiAffinity, even an empty
	// one.
	hasAffinity   bool
	required      []affinityTerm
	requiredAnti  []affinityTerm
	preferred     []affinityTerm
	preferredAnti []affinityTerm
	affinityErr   errorList

	spread      []spreadConstraint
	features    []string // node features the pod needs
	group       string   // the PodGroup it belongs to
	unsupported *UnsupportedError

	// class is valid if classed.
	class   classKey
	classed bool
}

// Name returns namespace/name.
func (p *PodInfo) Name() string { return p.key.String() }

// object names the pod for errors.
func (p *PodInfo) object() string { return "pod " + p.key.String() }

// ended says that the pod has run to its end and uses nothing any more.
func (p *PodInfo) ended() bool {
	return p.Pod.Status.Phase == "Succeeded" || p.Pod.Status.Phase == "Failed"
}

// terminating says that the pod is being deleted.
func (p *PodInfo) terminating() bool { return p.Pod.DeletionTimestamp != nil }

// CompilePod validates a pod and compiles it. The pod must not be changed
// afterwards.
func CompilePod(pod *Pod) (*PodInfo, error) {
	if pod == nil {
		return nil, fmt.Errorf("pod is nil")
	}
	if err := ValidatePod(pod); err != nil {
		return nil, err
	}
	return compilePod(pod)
}

// compilePod compiles without validating.
func compilePod(pod *Pod) (*PodInfo, error) {
	if pod.Name == "" {
		return nil, &InputError{Object: "pod", Field: "metadata.name", Want: "a name"}
	}
	p := &PodInfo{
		Pod:       pod,
		Namespace: orDefault(pod.Namespace),
		Labels:    selector.NewLabels(pod.Labels),
	}
	p.key = podKey{p.Namespace, pod.Name}
	if pod.Spec.Priority != nil {
		p.Priority = *pod.Spec.Priority
	}
	p.compileRequests()
	p.hostPorts = hostPortsOf(pod)
	p.images = imagesOf(pod)
	p.compileVolumes()
	p.nodes = compileNodeRequirement(pod)
	p.compileAffinity()
	p.spread = compileSpread(p)
	p.features = featuresOf(pod)
	if g := pod.Spec.SchedulingGroup; g != nil && g.PodGroupName != nil {
		p.group = *g.PodGroupName
	}
	p.unsupported = unsupportedIn(p)
	p.class, p.classed = classOfPod(p)
	return p, nil
}

// compileRequests computes the request in the forms that filters, accounting
// and scores use.
func (p *PodInfo) compileRequests() {
	filter := resourcesOf(podRequest(p.Pod, requestForm{podLevel: true}))
	p.Request = filter.positive()

	sum := podRequest(p.Pod, requestForm{podLevel: true, status: true})
	p.requested = resourcesOf(sum)
	p.requested.Pods = 0

	missing := missingDefaults(p.Pod, sum)
	nonZero := podRequest(p.Pod, requestForm{podLevel: true, status: true, missing: missing})
	p.nonZeroCPUMilli = nonZero["cpu"].MilliValue()
	p.nonZeroMemoryBytes = nonZero["memory"].Value()

	p.scored = resourcesOf(podRequest(p.Pod, requestForm{missing: containerDefaults()}))
}

// unsupportedIn reports the first thing the pod needs that this package does
// not decide about.
func unsupportedIn(p *PodInfo) *UnsupportedError {
	if n := len(p.Pod.Spec.ResourceClaims); n > 0 {
		return &UnsupportedError{Pod: p.Name(), Field: "spec.resourceClaims", What: "dynamic resource allocation"}
	}
	return nil
}
