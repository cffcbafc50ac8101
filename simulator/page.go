package simulator

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/http"
	"slices"
)

// pageHTML is the live page: one file that needs nothing from elsewhere.
//
//go:embed page.html
var pageHTML []byte

// page shows deployments, what is left of their quotas, requests as they end,
// faults and defects to switch, and a prompt box that streams.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	names := struct {
		Faults  [][2]string `json:"faults"`
		Defects [][2]string `json:"defects"`
	}{}
	for _, kind := range faultNames() {
		names.Faults = append(names.Faults, [2]string{kind, FaultKinds[kind]})
	}
	for _, d := range register {
		names.Defects = append(names.Defects, [2]string{d.Name, d.Sentence})
	}
	slices.SortFunc(names.Defects, func(a, b [2]string) int { return bytes.Compare([]byte(a[0]), []byte(b[0])) })
	data, err := json.Marshal(names) // escapes <, so that it cannot end the element
	if err != nil {
		llamaV1.writeRefusal(w, internal())
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	at := bytes.Index(pageHTML, []byte("<script>"))
	_, _ = w.Write(slices.Concat(pageHTML[:at], []byte(`<script type="application/json" id="names">`), data, []byte("</script>\n"), pageHTML[at:]))
}
