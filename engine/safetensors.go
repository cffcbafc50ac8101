package engine

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Safetensors is the file format of Hugging Face: the length of a header, the
// header in JSON (name → type, shape, place), the tensors.
//
// Source: https://github.com/huggingface/safetensors (README, "Format").

// maxSafetensorsHeader is what the format allows.
const maxSafetensorsHeader = 100_000_000

var safetensorsTypes = map[string]tensorType{"F32": typeF32, "F16": typeF16, "BF16": typeBF16}

// readSafetensors reads the directory of data. The tensors are views of data,
// and their shapes turned round: the contiguous dimension comes first.
func readSafetensors(data []byte) (map[string]tensor, error) {
	if len(data) < 8 {
		return nil, errors.New("not a safetensors file")
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxSafetensorsHeader || n > uint64(len(data)-8) {
		return nil, fmt.Errorf("truncated, or not a safetensors file: a header of %d bytes, %d left", n, len(data)-8)
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	data = data[8+n:]
	tensors := make(map[string]tensor, len(header))
	var places []place
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		t, p, err := readSafetensor(name, raw, data)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors[name] = t
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	for i := 1; i < len(places); i++ {
		if places[i].start < places[i-1].end {
			return nil, fmt.Errorf("tensors %q and %q overlap", places[i-1].name, places[i].name)
		}
	}
	return tensors, nil
}

// A place says which bytes a tensor has.
type place struct {
	name       string
	start, end uint64
}

func readSafetensor(name string, raw json.RawMessage, data []byte) (t tensor, p place, err error) {
	var entry struct {
		DType   string   `json:"dtype"`
		Shape   []uint64 `json:"shape"`
		Offsets []uint64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &entry); err != nil {
		return t, p, err
	}
	typ, ok := safetensorsTypes[entry.DType]
	if !ok {
		return t, p, fmt.Errorf("%q is not supported (F32, F16 and BF16 are)", entry.DType)
	}
	if len(entry.Shape) == 0 || len(entry.Shape) > ggufMaxDims {
		return t, p, fmt.Errorf("%d dimensions (1 to %d are possible)", len(entry.Shape), ggufMaxDims)
	}
	t = tensor{name: name, typ: typ}
	for _, d := range slices.Backward(entry.Shape) {
		if d == 0 || d > math.MaxInt32 {
			return t, p, fmt.Errorf("a dimension of %d", d)
		}
		t.shape = append(t.shape, int(d))
	}
	size, err := tensorBytes(typ, t.shape)
	if err != nil {
		return t, p, err
	}
	if len(entry.Offsets) != 2 {
		return t, p, errors.New("data_offsets are no pair")
	}
	p = place{name, entry.Offsets[0], entry.Offsets[1]}
	switch {
	case p.start > p.end || p.end > uint64(len(data)):
		return t, p, fmt.Errorf("bytes %d to %d are beyond the %d bytes of tensor data in the file", p.start, p.end, len(data))
	case p.end-p.start != size:
		return t, p, fmt.Errorf("%d bytes, but %s of shape %v takes %d", p.end-p.start, entry.DType, entry.Shape, size)
	}
	t.data = data[p.start:p.end:p.end]
	return t, p, nil
}
