package selector

import (
	"slices"
	"strconv"
	"strings"
)

// Operator relates a label key to values.
type Operator uint8

// The operators. Equals and DoubleEquals mean the same and print as written.
const (
	Equals       Operator = iota + 1 // In with one value, written =
	DoubleEquals                     // In with one value, written ==
	In                               // the label is there and its value is listed
	NotIn                            // the label is absent, or its value is not listed
	NotEquals                        // NotIn with one value, written !=
	Exists                           // the label is there
	DoesNotExist                     // the label is absent
	Gt                               // the label's value is an integer above the bound
	Lt                               // the label's value is an integer below the bound
)

// operatorNames are upstream's programmatic spellings.
var operatorNames = [...]string{
	In: "in", NotIn: "notin", Equals: "=", DoubleEquals: "==", NotEquals: "!=",
	Exists: "exists", DoesNotExist: "!", Gt: "gt", Lt: "lt",
}

// String gives the spelling that upstream uses in programs: in, notin, =, ==,
// !=, exists, !, gt, lt.
func (o Operator) String() string {
	if o == 0 || int(o) >= len(operatorNames) {
		return "operator(" + strconv.Itoa(int(o)) + ")"
	}
	return operatorNames[o]
}

// Requirement is one condition on one label. The zero value is not valid;
// NewRequirement, Parse and the Compile functions make valid ones.
type Requirement struct {
	key    string
	op     Operator
	values []string // sorted, repeats kept; never written after construction
}

// NewRequirement checks key, operator and values by Kubernetes' rules and
// reports every fault at once, as Errors of *FieldError. In and NotIn need
// values, the equality operators and Gt and Lt exactly one (for Gt and Lt a
// base-10 int64), Exists and DoesNotExist none. The values are copied.
func NewRequirement(key string, op Operator, values ...string) (Requirement, error) {
	if faults := requirementFaults("", key, op, values); len(faults) > 0 {
		return Requirement{}, faults
	}
	return Requirement{key: key, op: op, values: sortedCopy(values)}, nil
}

func requirementFaults(path, key string, op Operator, values []string) Errors {
	var faults Errors
	if text := joined(keyFaults(key)); text != "" {
		faults = append(faults, invalid(child(path, "key"), key, text))
	}
	valuesPath := child(path, "values")
	if text := countFault(op, len(values)); text != "" {
		faults = append(faults, invalidList(valuesPath, values, text))
	}
	switch op {
	case In, NotIn, Equals, DoubleEquals, NotEquals, Exists, DoesNotExist:
	case Gt, Lt:
		for i, v := range values {
			if _, ok := parseInt(v); !ok {
				faults = append(faults, invalid(index(valuesPath, i), v, "for 'Gt', 'Lt' operators, the value must be an integer"))
			}
		}
	default:
		faults = append(faults, unsupported(child(path, "operator"), op.String(),
			"in", "notin", "=", "==", "!=", "gt", "lt", "exists", "!"))
	}
	for i, v := range values {
		if text := joined(valueFaults(v)); text != "" {
			faults = append(faults, invalid(index(valuesPath, i)+"["+key+"]", v, text))
		}
	}
	return faults
}

func countFault(op Operator, n int) string {
	switch op {
	case In, NotIn:
		if n == 0 {
			return "for 'in', 'notin' operators, values set can't be empty"
		}
	case Equals, DoubleEquals, NotEquals:
		if n != 1 {
			return "exact-match compatibility requires one single value"
		}
	case Exists, DoesNotExist:
		if n != 0 {
			return "values set must be empty for exists and does not exist"
		}
	case Gt, Lt:
		if n != 1 {
			return "for 'Gt', 'Lt' operators, exactly one value is required"
		}
	}
	return ""
}

func sortedCopy(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	values = slices.Clone(values)
	slices.Sort(values)
	return values
}

// Key is the label key that the requirement looks at.
func (r Requirement) Key() string { return r.key }

// Operator is the operator as it was written.
func (r Requirement) Operator() Operator { return r.op }

// Values is a sorted copy of the values, repeats kept.
func (r Requirement) Values() []string { return slices.Clone(r.values) }

// Equal reports whether both requirements have the same key, operator and
// values; = and == are different operators here.
func (r Requirement) Equal(other Requirement) bool {
	return r.key == other.key && r.op == other.op && slices.Equal(r.values, other.values)
}

// Matches is the definition of the operators: value and present describe the
// label with the requirement's key. Compiled matching is held equal to it.
func (r Requirement) Matches(value string, present bool) bool {
	switch r.op {
	case In, Equals, DoubleEquals:
		return present && slices.Contains(r.values, value)
	case NotIn, NotEquals:
		return !present || !slices.Contains(r.values, value)
	case Exists:
		return present
	case DoesNotExist:
		return !present
	case Gt, Lt:
		if !present || len(r.values) != 1 {
			return false
		}
		n, isInt := parseInt(value)
		bound, _ := parseInt(r.values[0])
		return isInt && (r.op == Gt && n > bound || r.op == Lt && n < bound)
	}
	return false
}

// String prints the requirement in the syntax that Parse reads.
func (r Requirement) String() string {
	var b strings.Builder
	size := len(r.key) + len(" notin ()")
	for _, v := range r.values {
		size += len(v) + 1
	}
	b.Grow(size)
	r.print(&b)
	return b.String()
}

func (r Requirement) print(b *strings.Builder) {
	if r.op == DoesNotExist {
		b.WriteByte('!')
	}
	b.WriteString(r.key)
	switch r.op {
	case In:
		b.WriteString(" in (")
	case NotIn:
		b.WriteString(" notin (")
	case Equals:
		b.WriteByte('=')
	case DoubleEquals:
		b.WriteString("==")
	case NotEquals:
		b.WriteString("!=")
	case Gt:
		b.WriteByte('>')
	case Lt:
		b.WriteByte('<')
	}
	for i, v := range r.values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(v)
	}
	if r.op == In || r.op == NotIn {
		b.WriteByte(')')
	}
}

// parseInt reads what strconv.ParseInt(s, 10, 64) reads: an optional sign and
// digits, leading zeros allowed. It is here because most label values are no
// integers and strconv allocates an error for each of them.
func parseInt(s string) (int64, bool) {
	digits, negative := s, false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		digits, negative = s[1:], s[0] == '-'
	}
	if digits == "" {
		return 0, false
	}
	const limit = 1 << 63
	var n uint64
	for i := 0; i < len(digits); i++ {
		d := digits[i] - '0'
		if d > 9 || n > limit/10 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	switch {
	case negative && n <= limit:
		return -int64(n), true
	case !negative && n < limit:
		return int64(n), true
	}
	return 0, false
}
