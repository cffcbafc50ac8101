package load

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/touchstone-llm/touchstone/reports"
)

// WriteReports draws every report of a result into dir, each whole or not at
// all, and returns the paths of all files of the run. The records may be nil:
// those in dir are read then, if there are any.
func WriteReports(dir string, r *Result, records []*Record) ([]string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	var paths []string
	var errs []error
	for _, name := range []string{ResultFile, RecordsFile} {
		if p := filepath.Join(dir, name); exists(p) {
			paths = append(paths, p)
		}
	}
	if records == nil && exists(filepath.Join(dir, RecordsFile)) {
		var err error
		if _, records, err = ReadRecordsFile(filepath.Join(dir, RecordsFile)); err != nil {
			errs = append(errs, err)
		}
	}
	for _, file := range []struct {
		name string
		draw func(io.Writer) error
	}{
		{HTMLFile, func(w io.Writer) error { return WriteHTML(w, r) }},
		{CSVFile, func(w io.Writer) error { return WriteCSV(w, records) }},
		{BenchFile, func(w io.Writer) error { return WriteBench(w, r, records) }},
	} {
		path := filepath.Join(dir, file.name)
		if err := reports.WriteAtomic(path, file.draw); err != nil {
			errs = append(errs, err)
			continue
		}
		paths = append(paths, path)
	}
	return paths, errors.Join(errs...)
}

// WriteRecords writes records into dir as a run leaves them, whole or not at
// all.
func WriteRecords(dir string, h Header, records []*Record) (err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	path := filepath.Join(dir, RecordsFile)
	tmp := filepath.Join(dir, "."+RecordsFile+".new")
	w, err := NewRecorder(tmp, h)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	for _, r := range records {
		if err := w.Write(r); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
