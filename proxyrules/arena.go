package proxyrules

import "strings"

// arena is memory for what is made together and kept together: the parts of
// one RuleSet. It saves the allocator and the garbage collector most of their
// work. The zero arena makes each part alone, for those that come and go.
type arena struct {
	endpoints pool[parsedEndpoint]
	ports     pool[parsedPort]
	slices    pool[parsedSlice]
	lists     pool[*parsedSlice]
	policies  pool[Policy]
	made      pool[*Policy]
	backends  pool[Backend]
	texts     strings.Builder
	textPiece int
}

// Sizes of pieces, in elements; 32 KiB or so each.
const (
	pieceSmall = 2048
	pieceLarge = 512
	pieceText  = 32 << 10
)

func newArena() *arena {
	return &arena{
		endpoints: pool[parsedEndpoint]{piece: pieceLarge}, ports: pool[parsedPort]{piece: pieceLarge},
		slices: pool[parsedSlice]{piece: pieceLarge}, lists: pool[*parsedSlice]{piece: pieceSmall},
		policies: pool[Policy]{piece: pieceLarge / 8}, made: pool[*Policy]{piece: pieceSmall},
		backends: pool[Backend]{piece: pieceLarge}, textPiece: pieceText,
	}
}

// text is a builder with room for n bytes that do not move.
func (a *arena) text(n int) *strings.Builder {
	if a.texts.Cap()-a.texts.Len() < n {
		a.texts.Reset() // what was built stays with those who have it
		a.texts.Grow(max(n, a.textPiece))
	}
	return &a.texts
}

// pool hands out parts of larger pieces.
type pool[T any] struct {
	rest  []T
	piece int // elements
}

// take returns n zero elements, with no room behind them.
func (p *pool[T]) take(n int) []T {
	if n > p.piece/4 {
		return make([]T, n)
	}
	if len(p.rest) < n {
		p.rest = make([]T, p.piece)
	}
	out := p.rest[:n:n]
	p.rest = p.rest[n:]
	return out
}

func (p *pool[T]) one() *T {
	if p.piece == 0 {
		return new(T)
	}
	return &p.take(1)[0]
}
