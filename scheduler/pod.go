package scheduler

import (
	"fmt"
	"sync"

	"github.com/orchcore/orchcore/selector"
)

// PodInfo is a pod compiled for scheduling: computed once, immutable after.
type PodInfo struct {
	Pod      *Pod
	Priority int32
	// PodShape is never nil. Pods compiled by one Cache share it.
	*PodShape

	key         podKey
	group       string // the PodGroup it belongs to
	unsupported *UnsupportedError
	// classed: pods of the same class are decided about alike.
	classed bool
}

// PodShape is what pods of one kind have in common.
type PodShape struct {
	Namespace string
	Labels    selector.Labels
	// Request is what the pod needs on its node, the form filters compare.
	Request Resources

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

	spread   []spreadConstraint
	features []string // node features the pod needs

	// class identifies the shape, if it is shared.
	class  classKey
	shared bool
}

// shapes are the shapes that a Cache has met. Those that nothing uses any more
// stay until there are too many: then it begins anew, and pods compiled later
// share with each other.
type shapes struct {
	sync.Mutex
	of map[classKey]*PodShape
}

const shapesMax = 4096

// share lets the pod use the shape of one like it. Nobody else has seen p yet.
func (s *shapes) share(p *PodInfo) {
	if !p.shared {
		return
	}
	s.Lock()
	defer s.Unlock()
	if have := s.of[p.class]; have != nil {
		p.PodShape = have
		return
	}
	if s.of == nil || len(s.of) >= shapesMax {
		s.of = make(map[classKey]*PodShape)
	}
	s.of[p.class] = p.PodShape
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

// Compile is CompilePod with the strictness of the Cache. Pods of the same kind
// that it compiles share most of their memory.
func (c *Cache) Compile(pod *Pod) (*PodInfo, error) { return c.compile(pod) }

// compilePod compiles without validating.
func compilePod(pod *Pod) (*PodInfo, error) {
	if pod.Name == "" {
		return nil, &InputError{Object: "pod", Field: "metadata.name", Want: "a name"}
	}
	p := &PodInfo{Pod: pod, PodShape: &PodShape{
		Namespace: orDefault(pod.Namespace),
		Labels:    selector.NewLabels(pod.Labels),
	}}
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
	p.class, p.shared = classOfPod(p)
	p.classed = p.shared && pod.Spec.NodeName == "" && p.unsupported == nil && !namesNodes(pod)
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
