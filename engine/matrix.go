package engine

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// panelRows is how many rows of a matrix lie interleaved: one in each 32-bit
// lane of a vector, so that no product needs a sum across lanes.
const panelRows = 16

// A matrix holds weights by rows, rows outputs of cols inputs, repacked for the
// kernels: panels of 16 rows, the last one filled up with zeros.
type matrix struct {
	rows, cols int
	format     format
	quants     []byte // by panels, as the format says
	meta       []byte // by panels: scales and least values of the formats that have them

	// Types without a kernel of their own stay as they are in the file: each
	// panel is widened when it is used, to f32.
	typ tensorType
	raw []byte // by rows
}

// A format is a layout of panels. Numbers are little-endian. A chunk is 64
// bytes: 4 columns of 16 rows, [16, 4].
type format int

const (
	f32     format = iota // quants [cols, 16] F32
	f16                   // quants [cols, 16] F16
	bf16                  // quants [cols, 16] BF16
	q8                    // Q8_0, Q5_0: by 32 columns 8 chunks, 128 above their weights; meta [16] F16 scales
	q8Least               // Q4_1, Q5_1: by 32 columns 8 chunks; meta [16] scales, [16] least values
	q4                    // Q4_0: by 32 columns 4 chunks of nibbles, the high ones 16 columns on, 8 above their weights; meta [16] scales
	q4K                   // Q4_K: by 256 columns 4 times 8 chunks of nibbles, the high ones 32 columns on; meta as in kMeta
	q5K                   // Q5_K: as q4K, then 8 chunks: bit j is the fifth of row j of 32 columns
	q6K                   // Q6_K: by 256 columns 4 times: 8 chunks of nibbles (4 for each 32 columns, the high ones 16 on), 4 chunks of the other two bits (bits 2j: 16 columns, j times 16 on), 32 above their weights; meta [16] scales, [16, 16] int8
	asFile                // raw
	formats
)

// A formatInfo says how large the parts of a panel are.
type formatInfo struct {
	columns int // of a block
	quants  int // bytes of a block of a panel
	meta    int // likewise
}

var formatInfos = [formats]formatInfo{
	f32:     {1, 64, 0},
	f16:     {1, 32, 0},
	bf16:    {1, 32, 0},
	q8:      {32, 512, 32},
	q8Least: {32, 512, 64},
	q4:      {32, 256, 32},
	q4K:     {superBlock, 2048, kMeta},
	q5K:     {superBlock, 2560, kMeta},
	q6K:     {superBlock, 3072, q6Meta},
}

// What a superblock of a panel has in meta.
const (
	kLeast  = 32         // after [16] F16 scales: [16] F16 scales of the least values
	kMins   = 64         // [4, 16, 2]: least values of two rows of 32 columns
	kScales = 64 + 128   // [8, 16]: scales of 32 columns
	kMeta   = 64 + 2*128 // bytes in all
	q6Scale = 32         // after [16] F16 scales: [16, 16] int8 scales of 16 columns
	q6Meta  = 32 + 16*16 // bytes in all
)

// formatOf returns the format for a type of weights.
func formatOf(typ tensorType) format {
	switch typ {
	case typeF32:
		return f32
	case typeF16:
		return f16
	case typeBF16:
		return bf16
	case typeQ8_0, typeQ5_0:
		return q8
	case typeQ4_1, typeQ5_1:
		return q8Least
	case typeQ4_0:
		return q4
	case typeQ4_K:
		return q4K
	case typeQ5_K:
		return q5K
	case typeQ6_K:
		return q6K
	}
	return asFile
}

// panels returns how many panels the matrix has.
func (m *matrix) panels() int { return (m.rows + panelRows - 1) / panelRows }

// blocks returns how many blocks a row has.
func (m *matrix) blocks() int { return m.cols / formatInfos[m.format].columns }

// panelBytes returns the sizes of a panel.
func (m *matrix) panelBytes() (quants, meta int) {
	info := formatInfos[m.format]
	return m.blocks() * info.quants, m.blocks() * info.meta
}

// packedBytes returns how much memory newMatrix takes for a tensor.
func packedBytes(typ tensorType, rows, cols int) int {
	m := &matrix{rows: rows, cols: cols, format: formatOf(typ)}
	if m.format == asFile {
		elements, size, _ := typ.block()
		return rows * cols / elements * size
	}
	quants, meta := m.panelBytes()
	return m.panels()*(quants+meta) + 2*arenaAlign
}

// newMatrix repacks a tensor, data, into memory of a.
func newMatrix(a *arena, typ tensorType, rows, cols int, data []byte) *matrix {
	m := &matrix{rows: rows, cols: cols, format: formatOf(typ), typ: typ}
	if m.format == asFile {
		m.raw = a.alloc(len(data))
		copy(m.raw, data)
		return m
	}
	quants, meta := m.panelBytes()
	m.quants, m.meta = a.alloc(m.panels()*quants), a.alloc(m.panels()*meta)
	parallel(m.panels(), panelRows*cols, allThreads, func(from, to int) {
		for p := from; p < to; p++ {
			m.pack(p, data)
		}
	})
	return m
}

// pack fills panel p from the tensor's data.
//
//go:norace
func (m *matrix) pack(p int, data []byte) {
	qBytes, mBytes := m.panelBytes()
	quants, meta := m.quants[p*qBytes:(p+1)*qBytes], m.meta[p*mBytes:(p+1)*mBytes]
	if m.format == q8 { // rows that are missing are 0 as well
		for i := range quants {
			quants[i] = 128
		}
	}
	info := formatInfos[m.format]
	elements, size, _ := m.typ.block()
	rowBytes := m.cols / elements * size
	for lane := range min(panelRows, m.rows-p*panelRows) {
		row := data[(p*panelRows+lane)*rowBytes:][:rowBytes]
		switch m.format {
		case f32:
			for i := range m.cols {
				copy(quants[64*i+4*lane:][:4], row[4*i:])
			}
			continue
		case f16, bf16:
			for i := range m.cols {
				copy(quants[32*i+2*lane:][:2], row[2*i:])
			}
			continue
		}
		for b := range m.blocks() {
			packBlock(m.typ, lane, quants[b*info.quants:], meta[b*info.meta:], row[b*size:(b+1)*size])
		}
	}
}

// packBlock puts a block of a row into its lane of a block of a panel.
//
//go:norace
func packBlock(typ tensorType, lane int, quants, meta, b []byte) {
	// spread deals out bytes, 4 a chunk, from a chunk on.
	spread := func(chunk int, q []byte) {
		for i := 0; i+4 <= len(q); i += 4 {
			*(*uint32)(unsafe.Pointer(&quants[64*(chunk+i/4)+4*lane])) = *(*uint32)(unsafe.Pointer(&q[i]))
		}
	}
	scale := func(at, from int) { copy(meta[at+2*lane:][:2], b[from:]) }
	var q [superBlock]byte
	switch typ {
	case typeQ8_0:
		scale(0, 0)
		for i := range 32 {
			q[i] = b[2+i] + 128
		}
		spread(0, q[:32])
	case typeQ5_0:
		scale(0, 0)
		high := binary.LittleEndian.Uint32(b[2:])
		for i, n := range b[6:22] {
			q[i] = (n&15 | byte(high>>i&1<<4)) + 128 - 16
			q[i+16] = (n>>4 | byte(high>>(i+16)&1<<4)) + 128 - 16
		}
		spread(0, q[:32])
	case typeQ4_1, typeQ5_1:
		scale(0, 0)
		scale(32, 2)
		high, nibbles := uint32(0), b[4:]
		if typ == typeQ5_1 {
			high, nibbles = binary.LittleEndian.Uint32(b[4:]), b[8:]
		}
		for i, n := range nibbles[:16] {
			q[i] = n&15 | byte(high>>i&1<<4)
			q[i+16] = n>>4 | byte(high>>(i+16)&1<<4)
		}
		spread(0, q[:32])
	case typeQ4_0:
		scale(0, 0)
		spread(0, b[2:18])
	case typeQ4_K, typeQ5_K:
		scale(0, 0)
		scale(kLeast, 2)
		for j := range 8 {
			s, least := scaleMinK(b[4:16], j)
			meta[kMins+j/2*32+2*lane+j%2] = least
			meta[kScales+16*j+lane] = s
		}
		if typ == typeQ5_K {
			spread(32, b[16:48])
			b = b[32:]
		}
		spread(0, b[16:144])
	case typeQ6_K:
		scale(0, 208)
		for j := range 16 {
			meta[q6Scale+16*j+lane] = b[192+j]
		}
		// In the file the rows of 32 columns are four for each half of 128:
		// nibbles low, low, high, high of 64 bytes; here by 64 columns, 16 and
		// 16 in one byte.
		nibble := func(col int) byte {
			half, r, i := col/128, col%128/32, col%32
			n := b[64*half+r%2*32+i]
			return n >> (4 * (r / 2)) & 15
		}
		two := func(col int) byte {
			half, r, i := col/128, col%128/32, col%32
			return b[128+32*half+i] >> (2 * r) & 3
		}
		for g := range 4 {
			for i := range 16 {
				col := 64*g + i
				q[i] = nibble(col) | nibble(col+16)<<4
				q[i+16] = nibble(col+32) | nibble(col+48)<<4
				q[i+32] = two(col) | two(col+16)<<2 | two(col+32)<<4 | two(col+48)<<6
			}
			spread(12*g, q[:48])
		}
	}
}

// row sets dst, of length cols, to row r.
func (m *matrix) row(dst []float32, r int) {
	if m.format == asFile {
		size := len(m.raw) / m.rows
		widen(dst, m.typ, m.raw[r*size:(r+1)*size])
		return
	}
	qBytes, mBytes := m.panelBytes()
	p, lane := r/panelRows, r%panelRows
	quants, meta := m.quants[p*qBytes:(p+1)*qBytes], m.meta[p*mBytes:(p+1)*mBytes]
	info := formatInfos[m.format]
	for b := range m.blocks() {
		q, meta := quants[b*info.quants:], meta[b*info.meta:]
		y := dst[b*info.columns : (b+1)*info.columns]
		scale := func(at int) float32 { return half(meta[at+2*lane:]) }
		at := func(chunk, i int) byte { return q[64*(chunk+i/4)+4*lane+i%4] }
		switch m.format {
		case f32:
			y[0] = math.Float32frombits(binary.LittleEndian.Uint32(q[4*lane:]))
		case f16:
			y[0] = half(q[2*lane:])
		case bf16:
			y[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(q[2*lane:])) << 16)
		case q8:
			for i := range y {
				y[i] = scale(0) * float32(int(at(0, i))-128)
			}
		case q8Least:
			for i := range y {
				y[i] = float32(scale(0)*float32(at(0, i))) + scale(32)
			}
		case q4:
			for i := range 16 {
				y[i] = scale(0) * float32(int(at(0, i)&15)-8)
				y[i+16] = scale(0) * float32(int(at(0, i)>>4)-8)
			}
		case q4K, q5K:
			for i := range y {
				j := i / 32
				n := at(8*(j/2), i%32) >> (j % 2 * 4) & 15
				if m.format == q5K {
					n |= at(32, i%32) >> j & 1 << 4
				}
				s, least := meta[kScales+16*j+lane], meta[kMins+j/2*32+2*lane+j%2]
				y[i] = float32(float32(scale(0)*float32(s))*float32(n)) - float32(scale(kLeast)*float32(least))
			}
		case q6K:
			for i := range y {
				g, part, col := i/64, i%64/16, i%16
				n := at(12*g+part/2*4, col)>>(part%2*4)&15 | at(12*g+8, col)>>(2*part)&3<<4
				s := int8(meta[q6Scale+i/16*16+lane])
				y[i] = float32(scale(0)*float32(s)) * float32(int(n)-32)
			}
		}
	}
}

// widenPanel sets dst, [cols, 16], to panel p of a matrix of F16, BF16 or as in
// its file; row is memory of length cols.
//
//go:norace
func (m *matrix) widenPanel(dst, row []float32, p int) {
	if m.format != asFile {
		qBytes, _ := m.panelBytes()
		widenFloats(dst, m.format, m.quants[p*qBytes:(p+1)*qBytes])
		return
	}
	clear(dst)
	for lane := range min(panelRows, m.rows-p*panelRows) {
		m.row(row, p*panelRows+lane)
		for i, v := range row {
			dst[panelRows*i+lane] = v
		}
	}
}
