package schemas

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

// The published versions of the register, one file each: the levels of every
// clause that was enforced then. They never change, so that a gate on one does
// not turn red because something was learned since.
//
//go:embed published/*.json
var publishedFiles embed.FS

// PublishedVersions lists the published versions of the register, oldest first.
func PublishedVersions() []string {
	files, err := publishedFiles.ReadDir("published")
	if err != nil {
		return nil
	}
	var out []string
	for _, f := range files {
		out = append(out, strings.TrimSuffix(f.Name(), ".json"))
	}
	return out
}

// Published returns the clauses of a published version of the register, with
// the levels that they had; "" is the register as it is. A clause that has gone
// since is not in it.
func Published(version string) ([]Clause, error) {
	all, err := Register()
	if err != nil || version == "" {
		return all, err
	}
	raw, err := publishedFiles.ReadFile("published/" + version + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no version %q; published are %s", version, strings.Join(PublishedVersions(), ", "))
	}
	levels := map[string]map[Profile]Level{}
	if err := json.Unmarshal(raw, &levels); err != nil {
		return nil, fmt.Errorf("version %s: %w", version, err)
	}
	var out []Clause
	for _, c := range all {
		if l := levels[c.ID]; l != nil {
			c.Levels = l
			out = append(out, c)
		}
	}
	return out, nil
}
