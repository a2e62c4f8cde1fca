package qos

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orchcore/orchcore/qos/resource"
)

// A Value is an amount, given as such or as a share of the capacity. The zero
// value is 0.
type Value struct {
	Quantity resource.Quantity
	// Percentage is a share, 1 being all; unless it is 0 it decides. It has the
	// precision that upstream gives it, for the same thresholds to the byte.
	Percentage float32
}

// Of returns the amount for a resource of that capacity.
func (v Value) Of(capacity resource.Quantity) resource.Quantity {
	if v.Percentage == 0 {
		return v.Quantity
	}
	share := float64(capacity.Value()) * float64(v.Percentage)
	if share >= math.MaxInt64 {
		return resource.NewInt(math.MaxInt64).WithFormat(resource.BinarySI)
	}
	return resource.NewInt(int64(share)).WithFormat(resource.BinarySI)
}

// String returns the amount or the percentage.
func (v Value) String() string {
	if v.Percentage == 0 {
		return v.Quantity.String()
	}
	return strconv.FormatFloat(float64(v.Percentage)*100, 'g', 6, 64) + "%"
}

// A Threshold is crossed while less than Value is available.
type Threshold struct {
	Signal Signal
	Value  Value
	// GracePeriod is how long it must stay crossed before pods are evicted; 0
	// makes the threshold a hard one.
	GracePeriod time.Duration
	// MinReclaim is how much more than Value must be available again before a
	// crossed threshold counts as resolved.
	MinReclaim Value
}

// Hard reports whether crossing the threshold evicts at once, with a grace
// period of one second for the pod.
func (t Threshold) Hard() bool { return t.GracePeriod == 0 }

// String returns the threshold as a kubelet flag would have it.
func (t Threshold) String() string {
	s := fmt.Sprintf("%v<%v", t.Signal, t.Value)
	if !t.Hard() {
		s += fmt.Sprintf(" for %v", t.GracePeriod)
	}
	return s
}

// compare orders thresholds by what is dealt with first: by signal, then hard
// before soft, then the larger value.
func (t Threshold) compare(u Threshold) int {
	switch {
	case t.Signal != u.Signal:
		return int(t.Signal) - int(u.Signal)
	case t.GracePeriod != u.GracePeriod:
		if t.GracePeriod < u.GracePeriod {
			return -1
		}
		return 1
	case t.Value.Percentage != u.Value.Percentage:
		if t.Value.Percentage > u.Value.Percentage {
			return -1
		}
		return 1
	}
	return u.Value.Quantity.Cmp(t.Value.Quantity)
}

// same reports whether t and u are one threshold, whatever their notation and
// minimum reclaim.
func (t Threshold) same(u Threshold) bool { return t.compare(u) == 0 }

// DefaultEvictionHard returns the kubelet's hard eviction settings on Linux.
func DefaultEvictionHard() map[string]string {
	return map[string]string{
		"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%",
		"imagefs.available": "15%", "imagefs.inodesFree": "5%",
	}
}

// EvictionSettings are a kubelet's settings, as its configuration file has
// them: maps from signal names to amounts ("100Mi", "10%") or durations.
type EvictionSettings struct {
	Hard            map[string]string `json:"evictionHard,omitempty"` // nil: DefaultEvictionHard
	Soft            map[string]string `json:"evictionSoft,omitempty"`
	SoftGracePeriod map[string]string `json:"evictionSoftGracePeriod,omitempty"` // one per soft signal
	MinimumReclaim  map[string]string `json:"evictionMinimumReclaim,omitempty"`
	// MergeDefaults adds the defaults for signals that Hard does not mention.
	MergeDefaults bool `json:"mergeDefaultEvictionSettings,omitempty"`
	// EnforcePods: the cgroup of all pods has a limit, so that its memory can
	// run out too; hard memory.available thresholds then count for it as well.
	EnforcePods bool `json:"-"`
}

// A SettingError says which eviction setting is wrong, and why in the kubelet's
// words.
type SettingError struct {
	Field string // the field of EvictionSettings, as JSON names it
	Name  string // the signal
	Value string
	Err   error
}

// Error names field, signal and value.
func (e *SettingError) Error() string {
	return fmt.Sprintf("%s[%q]=%q: %v", e.Field, e.Name, e.Value, e.Err)
}

// Unwrap returns the reason.
func (e *SettingError) Unwrap() error { return e.Err }

// Thresholds returns the thresholds that the settings make, in order. An error
// is a *SettingError.
func (s EvictionSettings) Thresholds() ([]Threshold, error) {
	hard := s.Hard
	switch {
	case hard == nil:
		hard = DefaultEvictionHard()
	case s.MergeDefaults:
		hard = DefaultEvictionHard()
		maps.Copy(hard, s.Hard)
	}
	thresholds, err := parseThresholds("evictionHard", hard)
	if err != nil {
		return nil, err
	}
	soft, err := parseThresholds("evictionSoft", s.Soft)
	if err != nil {
		return nil, err
	}
	if err := s.addGracePeriods(soft); err != nil {
		return nil, err
	}
	thresholds = append(thresholds, soft...)
	if err := s.addMinReclaims(thresholds); err != nil {
		return nil, err
	}
	if s.EnforcePods {
		for _, t := range thresholds {
			if t.Signal == MemoryAvailable && t.Hard() {
				t.Signal = AllocatableMemoryAvailable
				thresholds = append(thresholds, t)
			}
		}
	}
	slices.SortStableFunc(thresholds, Threshold.compare)
	return thresholds, nil
}

// parseThresholds reads a map of settings in the order of its names.
func parseThresholds(field string, settings map[string]string) ([]Threshold, error) {
	var out []Threshold
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		t, used, err := parseThreshold(name, settings[name])
		if err != nil {
			return nil, &SettingError{field, name, settings[name], err}
		}
		if used {
			out = append(out, t)
		}
	}
	return out, nil
}

// parseThreshold reads one setting; "0%" and "100%" turn a threshold off.
func parseThreshold(name, text string) (t Threshold, used bool, err error) {
	if t.Signal, err = ParseSignal(name); err != nil {
		return t, false, err
	}
	if strings.HasSuffix(text, "%") {
		if text == "0%" || text == "100%" {
			return t, false, nil
		}
		if t.Value.Percentage, err = parsePercentage(text); err != nil {
			return t, false, err
		}
		switch {
		case t.Value.Percentage < 0:
			return t, false, fmt.Errorf("eviction percentage threshold %v must be >= 0%%: %s", t.Signal, text)
		case t.Value.Percentage > 1:
			return t, false, fmt.Errorf("eviction percentage threshold %v must be <= 100%%: %s", t.Signal, text)
		}
		return t, true, nil
	}
	if t.Value.Quantity, err = resource.Parse(text); err != nil {
		return t, false, err
	}
	if t.Value.Quantity.Sign() <= 0 {
		return t, false, fmt.Errorf("eviction threshold %v must be positive: %s", t.Signal, t.Value.Quantity)
	}
	return t, true, nil
}

// parsePercentage reads a number followed by per cent signs.
//
// Differs: NaN% is an error, where upstream's comparisons let it pass.
func parsePercentage(text string) (float32, error) {
	v, err := strconv.ParseFloat(strings.TrimRight(text, "%"), 32)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(v) {
		return 0, fmt.Errorf("percentage %s: want a number", text)
	}
	return float32(v) / 100, nil
}

func (s EvictionSettings) addGracePeriods(soft []Threshold) error {
	periods := map[Signal]time.Duration{}
	for _, name := range slices.Sorted(maps.Keys(s.SoftGracePeriod)) {
		text := s.SoftGracePeriod[name]
		signal, err := ParseSignal(name)
		if err == nil {
			periods[signal], err = time.ParseDuration(text)
		}
		if err == nil && periods[signal] < 0 {
			err = fmt.Errorf("invalid eviction grace period specified: %v, must be a positive value", text)
		}
		if err != nil {
			return &SettingError{"evictionSoftGracePeriod", name, text, err}
		}
	}
	for i := range soft {
		period, ok := periods[soft[i].Signal]
		if !ok {
			name := soft[i].Signal.String()
			err := fmt.Errorf("grace period must be specified for the soft eviction threshold %v", name)
			return &SettingError{"evictionSoft", name, s.Soft[name], err}
		}
		soft[i].GracePeriod = period
	}
	return nil
}

func (s EvictionSettings) addMinReclaims(thresholds []Threshold) error {
	for _, name := range slices.Sorted(maps.Keys(s.MinimumReclaim)) {
		text := s.MinimumReclaim[name]
		signal, err := ParseSignal(name)
		var v Value
		if err == nil {
			v, err = parseMinReclaim(signal, text)
		}
		if err != nil {
			return &SettingError{"evictionMinimumReclaim", name, text, err}
		}
		for i := range thresholds {
			if thresholds[i].Signal == signal {
				thresholds[i].MinReclaim = v
			}
		}
	}
	return nil
}

func parseMinReclaim(signal Signal, text string) (v Value, err error) {
	if strings.HasSuffix(text, "%") {
		if v.Percentage, err = parsePercentage(text); err != nil {
			return v, err
		}
		if v.Percentage <= 0 {
			return v, fmt.Errorf("eviction percentage minimum reclaim %v must be positive: %s", signal, text)
		}
		return v, nil
	}
	if v.Quantity, err = resource.Parse(text); err != nil {
		return v, err
	}
	if v.Quantity.Sign() < 0 {
		return v, fmt.Errorf("negative eviction minimum reclaim specified for %v", signal)
	}
	return v, nil
}

// ForLayout returns the thresholds with those of containerfs replaced by
// copies of nodefs or imagefs, wherever the containers' writable layers are.
// Settings of containerfs are not honoured; ignored lists them.
func ForLayout(thresholds []Threshold, layout Layout) (out, ignored []Threshold) {
	space, inodesFree := NodeFSAvailable, NodeFSInodesFree
	if layout.ImageFS && !layout.SplitImageFS {
		space, inodesFree = ImageFSAvailable, ImageFSInodesFree
	}
	for _, t := range thresholds {
		switch t.Signal {
		case ContainerFSAvailable, ContainerFSInodesFree:
			ignored = append(ignored, t)
			continue
		}
		out = append(out, t)
	}
	for _, t := range out[:len(out):len(out)] {
		switch t.Signal {
		case space:
			t.Signal = ContainerFSAvailable
			out = append(out, t)
		case inodesFree:
			t.Signal = ContainerFSInodesFree
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, Threshold.compare)
	return out, ignored
}
