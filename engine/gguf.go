package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// GGUF is the file format of ggml: a header, keys with typed values, the
// directory of tensors, padding, the tensors. Integers are little-endian and,
// since version 2, counts and offsets have 64 bits.
//
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

const (
	ggufMagic            = "GGUF"
	ggufDefaultAlignment = 32
	ggufMaxDims          = 4
	ggufMaxArrayDepth    = 4 // arrays of arrays exist in the format, hardly in files
)

// Types of values, as numbered in the file.
const (
	ggufUint8 = iota
	ggufInt8
	ggufUint16
	ggufInt16
	ggufUint32
	ggufInt32
	ggufFloat32
	ggufBool
	ggufString
	ggufArray
	ggufUint64
	ggufInt64
	ggufFloat64
)

// A tensorType is the element type of a tensor, as numbered in the file.
type tensorType uint32

// Names of the types that other engines read, so that an error can name them.
var tensorTypeNames = map[tensorType]string{
	0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
	10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K",
	16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
	22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
	29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

func (t tensorType) String() string {
	if s, ok := tensorTypeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// supportedTypes names the types that this engine reads.
func supportedTypes() string {
	var names []string
	for t := range tensorTypeNames {
		if _, _, ok := t.block(); ok {
			names = append(names, t.String())
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// A tensor is a view of the file.
type tensor struct {
	name  string
	typ   tensorType
	shape []int  // as in the file: shape[0] is contiguous, so a matrix is [columns, rows]
	data  []byte // of the length that typ and shape ask for
}

// A modelFile is the metadata of a file, and where its tensors lie, under the
// names that GGUF has for them.
type modelFile struct {
	format  string         // "gguf" or "safetensors"
	files   []string       // paths of its parts; nil: in memory
	meta    map[string]any // uint8 … float64, bool, string, []string, []int32, []float32, []any
	tensors map[string]tensor
	spell   func(name string) string // what the file calls a tensor; nil: as GGUF does
}

// called returns what the file calls a tensor.
func (f *modelFile) called(name string) string {
	if f.spell == nil {
		return name
	}
	return f.spell(name)
}

// readGGUF reads the metadata and, with tensors, the tensor directory of data.
// The tensors are views of data; everything else is copied.
func readGGUF(data []byte, tensors bool) (f *modelFile, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("gguf: %w", err)
		}
	}()
	r := &ggufReader{data: data}
	magic, err := r.bytes(4)
	if err != nil || string(magic) != ggufMagic {
		return nil, errors.New("not a GGUF file")
	}
	version, err := r.uint32()
	if err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}
	if version == 2<<24 || version == 3<<24 {
		return nil, errors.New("a big-endian file is not supported")
	}
	if version != 2 && version != 3 {
		return nil, fmt.Errorf("version %d is not supported (only 2 and 3, little-endian)", version)
	}
	nTensors, err := r.uint64()
	if err != nil {
		return nil, fmt.Errorf("count of tensors: %w", err)
	}
	nKeys, err := r.uint64()
	if err != nil {
		return nil, fmt.Errorf("count of keys: %w", err)
	}
	f = &modelFile{format: "gguf", meta: map[string]any{}, tensors: map[string]tensor{}}
	for i := range nKeys {
		key, err := r.string()
		if err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i, nKeys, err)
		}
		typ, err := r.uint32()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		value, err := r.value(typ, 0)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		if _, ok := f.meta[key]; ok {
			return nil, fmt.Errorf("key %q occurs twice", key)
		}
		f.meta[key] = value
	}
	if tensors {
		if err := r.tensors(f, nTensors); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// A ggufReader walks over a file; no method reads beyond its end, and none
// allocates more than a small multiple of what is left of it.
type ggufReader struct {
	data []byte
	pos  int
}

func (r *ggufReader) left() int { return len(r.data) - r.pos }

func (r *ggufReader) bytes(n uint64) ([]byte, error) {
	if n > uint64(r.left()) {
		return nil, fmt.Errorf("truncated: %d bytes wanted at offset %d, %d left", n, r.pos, r.left())
	}
	b := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

func (r *ggufReader) uint32() (uint32, error) {
	b, err := r.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (r *ggufReader) uint64() (uint64, error) {
	b, err := r.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (r *ggufReader) string() (string, error) {
	n, err := r.uint64()
	if err != nil {
		return "", err
	}
	b, err := r.bytes(n)
	return string(b), err
}

// value reads a value of the given type.
func (r *ggufReader) value(typ uint32, depth int) (any, error) {
	if typ == ggufString {
		return r.string()
	}
	if typ == ggufArray {
		return r.array(depth + 1)
	}
	size := scalarSize(typ)
	if size == 0 {
		return nil, fmt.Errorf("unknown value type %d", typ)
	}
	b, err := r.bytes(uint64(size))
	if err != nil {
		return nil, err
	}
	return scalar(typ, b), nil
}

// array reads the type, the count and the elements of an array.
func (r *ggufReader) array(depth int) (any, error) {
	if depth > ggufMaxArrayDepth {
		return nil, fmt.Errorf("arrays nested deeper than %d", ggufMaxArrayDepth)
	}
	typ, err := r.uint32()
	if err != nil {
		return nil, err
	}
	n, err := r.uint64()
	if err != nil {
		return nil, err
	}
	least := scalarSize(typ) // bytes that an element has at least
	switch typ {
	case ggufString:
		least = 8
	case ggufArray:
		least = 12
	}
	if least == 0 {
		return nil, fmt.Errorf("unknown value type %d", typ)
	}
	if n > uint64(r.left()/least) {
		return nil, fmt.Errorf("truncated: an array of %d elements at offset %d, %d bytes left", n, r.pos, r.left())
	}
	switch typ {
	case ggufString:
		a := make([]string, n)
		for i := range a {
			if a[i], err = r.string(); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		return a, nil
	case ggufInt32, ggufUint32:
		b, _ := r.bytes(4 * n)
		a := make([]int32, n)
		for i := range a {
			a[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return a, nil
	case ggufFloat32:
		b, _ := r.bytes(4 * n)
		a := make([]float32, n)
		for i := range a {
			a[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return a, nil
	default:
		// Kinds that no key of ours has: read for the sake of what follows, in
		// a form that stays small.
		if size := scalarSize(typ); size > 0 {
			_, err := r.bytes(n * uint64(size))
			return nil, err
		}
		for i := range n {
			if _, err := r.value(typ, depth); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil, nil
	}
}

// scalarSize returns the bytes of a value of the type, 0 if it is no scalar.
func scalarSize(typ uint32) int {
	switch typ {
	case ggufUint8, ggufInt8, ggufBool:
		return 1
	case ggufUint16, ggufInt16:
		return 2
	case ggufUint32, ggufInt32, ggufFloat32:
		return 4
	case ggufUint64, ggufInt64, ggufFloat64:
		return 8
	}
	return 0
}

func scalar(typ uint32, b []byte) any {
	le := binary.LittleEndian
	switch typ {
	case ggufUint8:
		return b[0]
	case ggufInt8:
		return int8(b[0])
	case ggufBool:
		return b[0] != 0
	case ggufUint16:
		return le.Uint16(b)
	case ggufInt16:
		return int16(le.Uint16(b))
	case ggufUint32:
		return le.Uint32(b)
	case ggufInt32:
		return int32(le.Uint32(b))
	case ggufFloat32:
		return math.Float32frombits(le.Uint32(b))
	case ggufUint64:
		return le.Uint64(b)
	case ggufInt64:
		return int64(le.Uint64(b))
	default:
		return math.Float64frombits(le.Uint64(b))
	}
}

// tensors reads the directory of n tensors and checks that each lies within
// the file and that no two overlap.
func (r *ggufReader) tensors(f *modelFile, n uint64) error {
	type extent struct {
		name       string
		start, end uint64
	}
	alignment, err := f.int("general.alignment", ggufDefaultAlignment, 1, 1<<20)
	if err != nil {
		return err
	}
	if bits.OnesCount(uint(alignment)) != 1 {
		return fmt.Errorf("general.alignment %d is not a power of two", alignment)
	}
	align := uint64(alignment)
	var extents []extent
	for i := range n {
		t, offset, err := r.tensor()
		if err != nil {
			if t.name == "" {
				return fmt.Errorf("tensor %d of %d: %w", i, n, err)
			}
			return fmt.Errorf("tensor %q: %w", t.name, err)
		}
		if _, ok := f.tensors[t.name]; ok {
			return fmt.Errorf("tensor %q occurs twice", t.name)
		}
		size, err := tensorBytes(t.typ, t.shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.name, err)
		}
		if offset%align != 0 {
			return fmt.Errorf("tensor %q: offset %d is not aligned to %d", t.name, offset, align)
		}
		if offset > math.MaxInt64-size {
			return fmt.Errorf("tensor %q: offset %d is beyond the file", t.name, offset)
		}
		f.tensors[t.name] = t
		extents = append(extents, extent{t.name, offset, offset + size})
	}
	base := (uint64(r.pos) + align - 1) &^ (align - 1)
	data := r.data[min(base, uint64(len(r.data))):]
	slices.SortFunc(extents, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	for i, e := range extents {
		if e.end > uint64(len(data)) {
			return fmt.Errorf("tensor %q: bytes %d to %d are beyond the %d bytes of tensor data in the file",
				e.name, e.start, e.end, len(data))
		}
		if i > 0 && e.start < extents[i-1].end {
			return fmt.Errorf("tensors %q and %q overlap", extents[i-1].name, e.name)
		}
		t := f.tensors[e.name]
		t.data = data[e.start:e.end:e.end]
		f.tensors[e.name] = t
	}
	return nil
}

// tensor reads one entry of the directory.
func (r *ggufReader) tensor() (t tensor, offset uint64, err error) {
	if t.name, err = r.string(); err != nil {
		return t, 0, err
	}
	dims, err := r.uint32()
	if err != nil {
		return t, 0, err
	}
	if dims == 0 || dims > ggufMaxDims {
		return t, 0, fmt.Errorf("%d dimensions (1 to %d are possible)", dims, ggufMaxDims)
	}
	for range dims {
		d, err := r.uint64()
		if err != nil {
			return t, 0, err
		}
		if d == 0 || d > math.MaxInt32 {
			return t, 0, fmt.Errorf("a dimension of %d", d)
		}
		t.shape = append(t.shape, int(d))
	}
	typ, err := r.uint32()
	if err != nil {
		return t, 0, err
	}
	t.typ = tensorType(typ)
	offset, err = r.uint64()
	return t, offset, err
}

// tensorBytes returns the bytes of a tensor, each dimension of which is at
// least 1.
func tensorBytes(typ tensorType, shape []int) (uint64, error) {
	elements, size, ok := typ.block()
	if !ok {
		return 0, fmt.Errorf("%s is not supported (%s are)", typ, supportedTypes())
	}
	if shape[0]%elements != 0 {
		return 0, fmt.Errorf("a row of %d elements is no whole number of %s blocks of %d", shape[0], typ, elements)
	}
	n := uint64(shape[0] / elements * size)
	for _, d := range shape[1:] {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n = lo
	}
	return n, nil
}

// int returns the integer at key, which must lie between least and most; def
// if there is none, or an error if def is below least.
func (f *modelFile) int(key string, def, least, most int) (int, error) {
	v, ok := f.meta[key]
	if !ok {
		if def < least {
			return 0, fmt.Errorf("key %q is missing", key)
		}
		return def, nil
	}
	var n int64
	switch v := v.(type) {
	case uint8:
		n = int64(v)
	case int8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case int16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint64:
		n = int64(min(v, math.MaxInt64))
	default:
		return 0, fmt.Errorf("key %q is not an integer", key)
	}
	if n < int64(least) || n > int64(most) {
		return 0, fmt.Errorf("key %q: %d is out of range (%d to %d)", key, n, least, most)
	}
	return int(n), nil
}

// float returns the finite number at key, def if there is none.
func (f *modelFile) float(key string, def float64) (float64, error) {
	v, ok := f.meta[key]
	if !ok {
		return def, nil
	}
	var x float64
	switch v := v.(type) {
	case float32:
		x = float64(v)
	case float64:
		x = v
	default:
		return 0, fmt.Errorf("key %q is not a number with a fraction", key)
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, fmt.Errorf("key %q is not finite", key)
	}
	return x, nil
}

// get returns the value at key if it is of type T, the zero T if there is
// none, and an error if it is of another type.
func get[T any](f *modelFile, key string) (T, error) {
	var zero T
	v, ok := f.meta[key]
	if !ok {
		return zero, nil
	}
	t, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("key %q is of type %T, not %T", key, v, zero)
	}
	return t, nil
}
