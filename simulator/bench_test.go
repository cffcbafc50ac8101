package simulator

import (
	"io"
	"net/http"
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

// BenchmarkAnswer measures whole answers of text at random, without a network:
// what each costs beyond net/http.
func BenchmarkAnswer(b *testing.B) {
	s, err := New(Options{Generator: Random(4096), Dialects: []string{"llama-v1"}})
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string]string{
		"whole":  `{"model":"random","prompt":"How far is the moon?","max_tokens":16,"ignore_eos":true}`,
		"stream": `{"model":"random","prompt":"How far is the moon?","max_tokens":128,"ignore_eos":true,"stream":true}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("POST", completionsPath, nil)
			r.Header.Set("Content-Type", "application/json")
			for b.Loop() {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
				w := &nobody{header: http.Header{}}
				s.ServeHTTP(w, r)
				if w.status != 200 {
					b.Fatal(w.status)
				}
			}
		})
	}
}
