package proxyrules_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

func seen(generation uint32, commits ...proxyrules.Commit) proxyrules.Observation {
	return proxyrules.Observation{Generation: generation, Commits: commits}
}

func other(generation uint32) proxyrules.Commit { return proxyrules.Commit{Generation: generation} }

func touch(generation uint32) proxyrules.Commit {
	return proxyrules.Commit{Generation: generation, Touched: true}
}

// loadedAt is a Guard whose rules made a generation.
func loadedAt(t *testing.T, generation uint32) *proxyrules.Guard {
	g := new(proxyrules.Guard)
	require.False(t, g.Intact(seen(generation-1)))
	g.Loaded(seen(generation))
	require.True(t, g.Intact(seen(generation)))
	return g
}

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		name   string
		now    proxyrules.Observation
		intact bool
	}{
		{"nothing happened", seen(7), true},
		{"others changed other tables", seen(9, other(8), other(9)), true},
		{"somebody touched ours", seen(9, other(8), touch(9)), false},
		{"a transaction that nobody saw", seen(9, other(9)), false},
		{"transactions without notifications", seen(8), false},
		{"the same transaction twice", seen(9, other(8), other(8)), false},
		{"transactions of the past", seen(8, other(7)), false},
		{"transactions of the future", seen(8, other(9)), false},
		{"another kernel", seen(3, other(1), other(2), other(3)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := loadedAt(t, 7)
			require.Equal(t, c.intact, g.Intact(c.now))
			again := c.now
			again.Commits = nil
			require.Equal(t, c.intact, g.Intact(again), "what is in doubt stays so")
			g.Updated(seen(c.now.Generation+1, touch(c.now.Generation+1)))
			require.Equal(t, c.intact, g.Intact(seen(c.now.Generation+1)), "an update does not repair")
			g.Loaded(seen(c.now.Generation + 2))
			require.True(t, g.Intact(seen(c.now.Generation+2)))
		})
	}
}

// Our own transaction is the only one that may have touched the table.
func TestGuardAlone(t *testing.T) {
	for _, c := range []struct {
		name   string
		now    proxyrules.Observation
		intact bool
	}{
		{"as was to be seen", seen(8, touch(8)), true},
		{"too large to be seen", seen(8), true},
		{"between others", seen(10, other(8), touch(9), other(10)), true},
		{"too large, between others", seen(10, other(8), other(10)), true},
		{"with somebody else", seen(9, touch(8), touch(9)), false},
		{"nothing was loaded", seen(7), false},
		{"only others", seen(8, other(8)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, note := range []func(*proxyrules.Guard, proxyrules.Observation){(*proxyrules.Guard).Loaded, (*proxyrules.Guard).Updated} {
				g := loadedAt(t, 7)
				note(g, c.now)
				require.Equal(t, c.intact, g.Intact(seen(c.now.Generation)))
			}
		})
	}
	require.False(t, new(proxyrules.Guard).Intact(seen(0)), "nothing was ever loaded")
}

// Random histories with complete notifications: a Guard says intact exactly
// when nobody else touched the table since the last load; with gaps, it never
// says so wrongly. Generations wrap on the way.
func TestGuardHistories(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0x9a))
		gaps := seed%2 == 1
		generation := ^uint32(0) - uint32(rng.IntN(40))
		g := loadedAt(t, generation)
		truth := true
		for range 60 {
			var now proxyrules.Observation
			foreign := false
			happens := func(touched bool) {
				generation++
				if !gaps || rng.IntN(3) > 0 {
					now.Commits = append(now.Commits, proxyrules.Commit{Generation: generation, Touched: touched})
				}
			}
			strangers := func() {
				for range rng.IntN(3) {
					touched := rng.IntN(6) == 0
					foreign = foreign || touched
					happens(touched)
				}
			}
			strangers()
			act := rng.IntN(3)
			if act > 0 {
				happens(true)
				strangers()
			}
			now.Generation = generation
			said := false
			switch act {
			case 0:
				truth = truth && !foreign
				said = g.Intact(now)
			case 1:
				truth = !foreign
				g.Loaded(now)
				said = g.Intact(seen(generation))
			case 2:
				truth = truth && !foreign
				g.Updated(now)
				said = g.Intact(seen(generation))
			}
			if gaps {
				require.False(t, said && !truth, "seed %d", seed)
				truth = said
			} else {
				require.Equal(t, truth, said, "seed %d", seed)
			}
		}
	}
}
