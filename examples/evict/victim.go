package main

import "fmt"

// hogArgument makes the program one of the processes that -live starts.
const hogArgument = "-use-memory"

// A wrongVictimError says that -live evicted somebody else than it had
// predicted.
type wrongVictimError struct{ predicted, evicted string }

func (e wrongVictimError) Error() string {
	return fmt.Sprintf("predicted that %s goes first, but it was %s", e.predicted, e.evicted)
}
