// Package ggufwrite writes GGUF files of random weights, small ones for tests
// and large ones to measure with.
package ggufwrite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Element types of tensors.
const (
	F32  = 0
	F16  = 1
	Q4_0 = 2
	Q4_1 = 3
	Q5_0 = 6
	Q5_1 = 7
	Q8_0 = 8
	Q2_K = 10
	Q3_K = 11
	Q4_K = 12
	Q5_K = 13
	Q6_K = 14
	BF16 = 30
)

const alignment = 32

// A File is what will be written. Change it freely to make a broken one.
type File struct {
	Version uint32
	Keys    []Key
	Tensors []Tensor
}

// A Key is a piece of metadata: a string, bool, uint16, uint32, int32, float32, or a slice of
// string, int32 or float32.
type Key struct {
	Name  string
	Value any
}

// A Tensor is an entry of the directory and its data.
type Tensor struct {
	Name  string
	Type  uint32
	Shape []uint64 // shape[0] is contiguous
	Data  []byte
}

// Set adds a key or replaces its value.
func (f *File) Set(name string, value any) {
	for i := range f.Keys {
		if f.Keys[i].Name == name {
			f.Keys[i].Value = value
			return
		}
	}
	f.Keys = append(f.Keys, Key{name, value})
}

// Key returns the value of a key, nil if there is none.
func (f *File) Key(name string) any {
	for _, k := range f.Keys {
		if k.Name == name {
			return k.Value
		}
	}
	return nil
}

// Delete removes a key.
func (f *File) Delete(name string) {
	keys := f.Keys[:0]
	for _, k := range f.Keys {
		if k.Name != name {
			keys = append(keys, k)
		}
	}
	f.Keys = keys
}

// Split returns the file as n parts, the tensors shared out in turn.
func (f *File) Split(n int) []*File {
	parts := make([]*File, n)
	for i := range parts {
		parts[i] = &File{Version: f.Version}
		if i == 0 {
			parts[i].Keys = append(parts[i].Keys, f.Keys...)
		}
		parts[i].Set("split.no", uint16(i))
		parts[i].Set("split.count", uint16(n))
		parts[i].Set("split.tensors.count", int32(len(f.Tensors)))
	}
	for i, t := range f.Tensors {
		parts[i%n].Tensors = append(parts[i%n].Tensors, t)
	}
	return parts
}

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) *Tensor {
	for i := range f.Tensors {
		if f.Tensors[i].Name == name {
			return &f.Tensors[i]
		}
	}
	panic("ggufwrite: no tensor " + name)
}

// Bytes returns the file.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Write writes the file.
func (f *File) Write(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, f.Version, uint64(len(f.Tensors)), uint64(len(f.Keys)))
	for _, k := range f.Keys {
		putString(&b, k.Name)
		putValue(&b, k.Value)
	}
	offset := 0
	for _, t := range f.Tensors {
		putString(&b, t.Name)
		put(&b, uint32(len(t.Shape)), t.Shape, t.Type, uint64(offset))
		offset += pad(len(t.Data))
	}
	b.Write(make([]byte, pad(b.Len())-b.Len()))
	if _, err := w.Write(b.Bytes()); err != nil {
		return err
	}
	for _, t := range f.Tensors {
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
		if _, err := w.Write(make([]byte, pad(len(t.Data))-len(t.Data))); err != nil {
			return err
		}
	}
	return nil
}

func pad(n int) int { return (n + alignment - 1) / alignment * alignment }

func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		if err := binary.Write(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
}

func putString(b *bytes.Buffer, s string) {
	put(b, uint64(len(s)))
	b.WriteString(s)
}

func putValue(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case uint16:
		put(b, uint32(2), v)
	case uint32:
		put(b, uint32(4), v)
	case int32:
		put(b, uint32(5), v)
	case float32:
		put(b, uint32(6), v)
	case bool:
		put(b, uint32(7), v)
	case string:
		put(b, uint32(8))
		putString(b, v)
	case []string:
		put(b, uint32(9), uint32(8), uint64(len(v)))
		for _, s := range v {
			putString(b, s)
		}
	case []int32:
		put(b, uint32(9), uint32(5), uint64(len(v)), v)
	case []float32:
		put(b, uint32(9), uint32(6), uint64(len(v)), v)
	default:
		panic(fmt.Sprintf("ggufwrite: value of type %T", v))
	}
}

// Half rounds x to half precision, to nearest; what is too small becomes 0.
func Half(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits >> 16 & 0x8000)
	exp := int(bits>>23&0xff) - 127 + 15
	if exp <= 0 {
		return sign
	}
	frac := bits & 0x7fffff
	h := uint32(exp)<<10 | frac>>13
	if frac&0x1000 != 0 {
		h++
	}
	return sign | uint16(min(h, 0x7c00))
}
