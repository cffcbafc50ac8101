package simulator

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkStages measures requests that are refused at the last stage before
// generation: all that the simulator does by itself.
func BenchmarkStages(b *testing.B) {
	s, err := New(Options{Generator: newFake()})
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range generating() {
		b.Run(e.String(), func(b *testing.B) {
			body := ask(e.path, `"max_tokens":999,"temperature":0.7`)
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest("POST", e.path, strings.NewReader(body)))
				if w.Code != 400 {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
