package selector

import "strings"

// Limits of Kubernetes label syntax.
const (
	nameBytesMax   = 63  // name part of a key, and a value
	prefixBytesMax = 253 // DNS prefix of a key
)

// The texts are part of the API server's contract: users and tests match on them.
const (
	nameRegexp      = `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
	subdomainRegexp = `[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*`

	nameMsg = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character" +
		" (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" + nameRegexp + "')"
	valueMsg = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character" +
		" (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(" + nameRegexp + ")?')"
	subdomainMsg = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character" +
		" (e.g. 'example.com', regex used for validation is '" + subdomainRegexp + "')"
	nameLengthMsg   = "must be no more than 63 bytes"
	prefixLengthMsg = "must be no more than 253 bytes"
	emptyMsg        = "must be non-empty"
)

// ValidKey reports whether key may be the key of a label: an optional DNS
// subdomain and a slash, then a name of at most 63 bytes.
func ValidKey(key string) bool {
	if validName(key) {
		return true // most keys have no prefix, and no name has a slash
	}
	prefix, name, slash := strings.Cut(key, "/")
	return slash && validSubdomain(prefix) && validName(name)
}

// ValidValue reports whether value may be the value of a label: empty, or at
// most 63 bytes of letters, digits, '-', '_' and '.', with a letter or digit
// at both ends.
func ValidValue(value string) bool { return value == "" || validName(value) }

func validName(s string) bool {
	return len(s) <= nameBytesMax && nameSyntax(s)
}

func nameSyntax(s string) bool {
	if s == "" || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		if !inName[s[i]] {
			return false
		}
	}
	return true
}

// inName tells which bytes a name may have between its ends.
var inName = func() (in [256]bool) {
	for c := range in {
		in[c] = isAlnum(byte(c)) || c == '-' || c == '_' || c == '.'
	}
	return in
}()

func validSubdomain(s string) bool {
	return len(s) <= prefixBytesMax && subdomainSyntax(s)
}

// subdomainSyntax sets no limit to a single DNS label: neither does upstream.
func subdomainSyntax(s string) bool {
	previous := byte('.') // as if a dot stood before the first label
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isLowerAlnum(c):
		case c == '-' && previous != '.':
		case c == '.' && isLowerAlnum(previous):
		default:
			return false
		}
		previous = c
	}
	return isLowerAlnum(previous)
}

func isLowerAlnum(c byte) bool { return c-'a' < 26 || c-'0' < 10 }

func isAlnum(c byte) bool { return c|0x20-'a' < 26 || c-'0' < 10 }

// keyFaults lists what is wrong with key.
func keyFaults(key string) []string {
	if ValidKey(key) {
		return nil
	}
	if strings.Count(key, "/") > 1 {
		return []string{"a valid label key " + nameMsg + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"}
	}
	var faults []string
	name := key
	if prefix, rest, slash := strings.Cut(key, "/"); slash {
		name = rest
		if prefix == "" {
			faults = append(faults, "prefix part "+emptyMsg)
		}
		for _, fault := range subdomainFaults(prefix) {
			if prefix != "" {
				faults = append(faults, "prefix part "+fault)
			}
		}
	}
	if name == "" {
		faults = append(faults, "name part "+emptyMsg)
	} else if len(name) > nameBytesMax {
		faults = append(faults, "name part "+nameLengthMsg)
	}
	if !nameSyntax(name) {
		faults = append(faults, "name part "+nameMsg)
	}
	return faults
}

func subdomainFaults(s string) []string {
	var faults []string
	if len(s) > prefixBytesMax {
		faults = append(faults, prefixLengthMsg)
	}
	if !subdomainSyntax(s) {
		faults = append(faults, subdomainMsg)
	}
	return faults
}

func valueFaults(value string) []string {
	if ValidValue(value) {
		return nil
	}
	var faults []string
	if len(value) > nameBytesMax {
		faults = append(faults, nameLengthMsg)
	}
	if !nameSyntax(value) {
		faults = append(faults, valueMsg)
	}
	return faults
}

// joined is how upstream tells several faults of one word at once.
func joined(faults []string) string { return strings.Join(faults, "; ") }
