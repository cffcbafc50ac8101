package engine

import "sync"

// panelMemory is for widened panels.
var panelMemory = sync.Pool{New: func() any { return new([]float32) }}

// A product is a matrix and where its product goes: dst is [n, m.rows].
type product struct {
	dst []float32
	m   *matrix
}

// chunkBytes is how many bytes of panels meet all rows of the activations
// before the next ones do: they stay in a core's cache.
const chunkBytes = 256 << 10

// panelsTogether is how many panels the kernels for one row read at a time.
const panelsTogether = 4

// matmul computes dst = x · mᵀ for each product: row t of dst is m times row t
// of x, which is [n, m.cols]. All matrices have the same number of columns.
// Up to threads goroutines share the panels of the matrices; no sum depends on
// their number, nor on the rows that are computed together.
func matmul(a *activations, x []float32, n, threads int, products ...product) {
	if n == 0 {
		return
	}
	cols := products[0].m.cols
	a.set(x, n, cols)
	panels := 0
	for _, p := range products {
		a.prepare(p.m.format, threads)
		panels += p.m.panels()
	}
	unit := 1
	if n == 1 {
		unit = panelsTogether
	}
	parallel((panels+unit-1)/unit, n*cols*panelRows*unit, threads, func(from, to int) {
		from, to = from*unit, min(to*unit, panels)
		for _, p := range products {
			count := p.m.panels()
			if from < count && to > 0 {
				p.compute(a, max(from, 0), min(to, count))
			}
			from, to = from-count, to-count
		}
	})
}

// widenRows is from how many rows on a panel of F16 or BF16 is widened before it
// is used, instead of by each tile anew. The bits are the same.
const widenRows = 64

// compute sets the columns of dst that the panels from … to of m give.
func (p product) compute(a *activations, from, to int) {
	m := p.m
	if m.format == asFile || a.n >= widenRows && (m.format == f16 || m.format == bf16) {
		p.widened(a, from, to)
		return
	}
	qBytes, mBytes := m.panelBytes()
	tiles := a.tiles[m.format]
	chunk := to - from
	if len(tiles) > 1 {
		chunk = max(1, chunkBytes/qBytes)
	}
	for ; from < to; from += chunk {
		count := min(chunk, to-from)
		quants, meta := m.quants[from*qBytes:], m.meta[from*mBytes:]
		for _, t := range tiles {
			p.tile(a, t, from, count, m.blocks(), quants, meta)
		}
	}
}

// tile computes count panels from panel at on, which quants and meta begin
// with, for the rows of one tile.
func (p product) tile(a *activations, t tile, at, count, blocks int, quants, meta []byte) {
	rows := p.m.rows
	x, xstride := a.at(p.m.format, t.at)
	full := min(count, rows/panelRows-at) // the last panel may have fewer rows
	var m *byte
	if full > 0 {
		if len(meta) > 0 {
			m = &meta[0]
		}
		t.kernel(&p.dst[t.at*rows+at*panelRows], 4*rows, &quants[0], m, x, xstride, blocks, full)
	}
	if full == count {
		return
	}
	var qBytes, mBytes int
	if full > 0 { // else the first is the last
		qBytes, mBytes = p.m.panelBytes()
	}
	if len(meta) > 0 {
		m = &meta[full*mBytes]
	}
	var last [maxTile * panelRows]float32
	t.kernel(&last[0], 4*panelRows, &quants[full*qBytes], m, x, xstride, blocks, 1)
	first := (at + full) * panelRows
	for i := range t.n {
		copy(p.dst[(t.at+i)*rows+first:(t.at+i+1)*rows], last[i*panelRows:(i+1)*panelRows])
	}
}

// widened is compute for matrices whose panels are widened before they are used.
func (p product) widened(a *activations, from, to int) {
	m := p.m
	memory := panelMemory.Get().(*[]float32)
	defer panelMemory.Put(memory)
	*memory = grown(*memory, (panelRows+1)*m.cols)
	panel, row := (*memory)[:panelRows*m.cols], (*memory)[panelRows*m.cols:]
	tiles := a.tiles[f32]
	for at := from; at < to; at++ {
		m.widenPanel(panel, row, at)
		for _, t := range tiles {
			p.tile(a, t, at, 1, m.cols, memoryOf(panel), nil)
		}
	}
}
