package reports

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// The names of the files that WriteAll leaves.
const (
	ResultFile = "result.json"
	JUnitFile  = "junit.xml"
	HTMLFile   = "report.html"
)

// WriteAll writes result.json, junit.xml and report.html into dir, which it
// makes if need be, each file whole or not at all. It returns the paths of
// those that it wrote; one that fails does not keep the others from being
// written.
func WriteAll(dir string, r *Result) ([]string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	var paths []string
	var errs []error
	for _, file := range []struct {
		name string
		draw func(io.Writer, *Result) error
	}{
		{ResultFile, encode},
		{JUnitFile, WriteJUnit},
		{HTMLFile, WriteHTML},
	} {
		path := filepath.Join(dir, file.name)
		if err := WriteAtomic(path, func(w io.Writer) error { return file.draw(w, r) }); err != nil {
			errs = append(errs, err)
			continue
		}
		paths = append(paths, path)
	}
	return paths, errors.Join(errs...)
}
