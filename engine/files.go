package engine

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// openFile maps the file at path into memory, with all that belongs to it.
// Without tensors, only its metadata are read. release ends the mappings.
func openFile(path string, tensors bool) (f *modelFile, release func() error, err error) {
	var maps mappings
	defer func() {
		if err != nil {
			maps.release()
		}
	}()
	stat, err := os.Stat(path)
	switch {
	case err != nil:
	case stat.IsDir():
		f, err = maps.openHF(path, tensors)
	case filepath.Ext(path) == ".safetensors":
		err = fmt.Errorf("%s: the weights alone; open the folder that has config.json and tokenizer.json too", path)
	default:
		f, err = maps.openGGUF(path, tensors)
	}
	if err != nil {
		return nil, nil, err
	}
	return f, maps.release, nil
}

// mappings are what a model has mapped into memory.
type mappings []func() error

func (m *mappings) add(path string) ([]byte, error) {
	data, release, err := mapFile(path)
	if err == nil {
		*m = append(*m, release)
	}
	return data, err
}

func (m mappings) release() error {
	var errs []error
	for _, release := range m {
		errs = append(errs, release())
	}
	return errors.Join(errs...)
}

// partName is how the parts of a split model are called: what stands before
// their number, their number from 1, their count.
var partName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// openGGUF opens a GGUF file. Of a split model path is any part; the first has
// the metadata.
func (m *mappings) openGGUF(path string, tensors bool) (*modelFile, error) {
	prefix, count := "", 1
	if name := partName.FindStringSubmatch(path); name != nil {
		prefix = name[1]
		count, _ = strconv.Atoi(name[3])
	}
	part := func(i int) string {
		if count <= 1 {
			return path
		}
		return fmt.Sprintf("%s-%05d-of-%05d.gguf", prefix, i+1, count)
	}
	read := func(i int) (*modelFile, error) {
		data, err := m.add(part(i))
		if err != nil {
			return nil, err
		}
		f, err := readGGUF(data, tensors)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part(i), err)
		}
		return f, nil
	}
	f, err := read(0)
	if err != nil {
		return nil, err
	}
	f.files = []string{part(0)}
	switch n := f.parts(); {
	case n > 1 && count <= 1:
		return nil, fmt.Errorf("%s: gguf: split.count is %d, but the file is not called …-00001-of-%05d.gguf, from which the others would be found", path, n, n)
	case count > 1 && n != count:
		return nil, fmt.Errorf("%s: gguf: split.count is %d", part(0), n)
	}
	for i := 1; i < count && tensors; i++ {
		next, err := read(i)
		if err != nil {
			return nil, err
		}
		if _, err := next.int("split.no", -1, i, i); err != nil {
			return nil, fmt.Errorf("%s: gguf: %w", part(i), err)
		}
		f.files = append(f.files, part(i))
		for name, t := range next.tensors {
			if _, ok := f.tensors[name]; ok {
				return nil, fmt.Errorf("%s: gguf: tensor %q is in an earlier part too", part(i), name)
			}
			f.tensors[name] = t
		}
	}
	want, err := f.int("split.tensors.count", len(f.tensors), 0, math.MaxInt32)
	if err == nil && tensors && want != len(f.tensors) {
		err = fmt.Errorf("split.tensors.count is %d, but the parts hold %d tensors", want, len(f.tensors))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: gguf: %w", part(0), err)
	}
	return f, nil
}

// parts returns into how many files the model is split.
func (f *modelFile) parts() int {
	n, err := f.int("split.count", 1, 0, 99999)
	if err != nil {
		return 1
	}
	return max(1, n)
}
