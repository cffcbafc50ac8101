package simulator

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
)

// checkVersion looks at the query parameter api-version (clauses VER-001 to
// VER-004, conflict C49).
func (d *dialect) checkVersion(r *http.Request) *refusal {
	if len(d.versions) == 0 {
		return nil
	}
	given := r.URL.Query()["api-version"]
	switch {
	case len(given) == 0:
		return invalid(codeVersion, "api-version", "The query parameter api-version is needed; send one of %s.", strings.Join(d.versions, ", "))
	case len(given) > 1 || !slices.Contains(d.versions, given[0]):
		return invalid(codeVersion, "api-version", "api-version %q is not served; send one of %s.",
			clip(strings.Join(given, ", ")), strings.Join(d.versions, ", "))
	}
	return nil
}

// nameRequest says by headers which request this was (RSP-024), and gives back
// the client's own name for it (RSP-025).
func (d *dialect) nameRequest(w http.ResponseWriter, r *http.Request, id string) {
	if !d.requestIDs {
		return
	}
	if id == "" {
		id = rand.Text()
	}
	w.Header().Set("X-Ms-Request-Id", id)
	if name := r.Header.Get("X-Ms-Client-Request-Id"); name != "" && len(name) <= 128 {
		w.Header().Set("X-Ms-Client-Request-Id", name)
	}
}
