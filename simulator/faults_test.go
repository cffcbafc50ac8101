package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func failing(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	o.Generator, o.Keys = newFake(), []string{testKey}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.wait = func(gone <-chan struct{}, d time.Duration) {}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h
}

// try sends a request that may break; the body is what came of it.
func try(t *testing.T, h *httptest.Server, path, body string, header map[string]string) (reply, error) {
	t.Helper()
	r, _ := http.NewRequest("POST", h.URL+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+testKey)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	response, err := h.Client().Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(b)}, err
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault  Fault
		stream bool
		check  func(r reply, err error) bool
	}{
		{Fault{Kind: "error"}, false, func(r reply, err error) bool { return r.status == 500 && r.get("error.message").Str != "" }},
		{Fault{Kind: "busy", Delay: 2 * time.Second}, true, func(r reply, err error) bool { return r.status == 429 && r.header.Get("Retry-After") == "2" }},
		{Fault{Kind: "unavailable", Delay: 7 * time.Second}, true, func(r reply, err error) bool { return r.status == 503 && r.header.Get("Retry-After") == "7" }},
		{Fault{Kind: "reset"}, false, func(r reply, err error) bool { return err != nil && r.status == 0 }},
		{Fault{Kind: "reset-mid"}, false, func(r reply, err error) bool { return err != nil && r.status == 200 && len(r.body) > 20 }},
		{Fault{Kind: "reset-mid", After: 3}, true, func(r reply, err error) bool {
			return err != nil && strings.Count(r.body, "\n\n") == 3 && !strings.Contains(r.body, "[DONE]")
		}},
		{Fault{Kind: "stall", Delay: time.Second, After: 1}, true, func(r reply, err error) bool { return err == nil && strings.Contains(r.body, "[DONE]") }},
		{Fault{Kind: "slow-first-byte"}, true, func(r reply, err error) bool { return err == nil && strings.Contains(r.body, "[DONE]") }},
		{Fault{Kind: "truncated"}, false, func(r reply, err error) bool {
			return err == nil && r.status == 200 && len(r.body) > 20 && !json.Valid([]byte(r.body))
		}},
		{Fault{Kind: "truncated", After: 2}, true, func(r reply, err error) bool {
			return err == nil && strings.Count(r.body, "\n\n") == 2 && !strings.Contains(r.body, "[DONE]")
		}},
		{Fault{Kind: "wrong-content-type"}, false, func(r reply, err error) bool {
			return strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && json.Valid([]byte(r.body))
		}},
	} {
		c.fault.Count = 1
		h := failing(t, Options{Faults: []Fault{c.fault}})
		for _, path := range []string{completionsPath, chatPath} {
			body := ask(path, map[bool]string{true: `"stream":true`}[c.stream])
			if path == completionsPath { // the first request is struck
				if r, err := try(t, h, path, body, nil); !c.check(r, err) {
					t.Errorf("%+v: %d %v %v %q", c.fault, r.status, err, r.header, r.body)
				}
			}
			if r, err := try(t, h, path, body, nil); err != nil || r.status != 200 {
				t.Errorf("%+v: the request after it: %d %v", c.fault, r.status, err)
			}
		}
	}
}

// TestStall: a stall without end lasts until the client goes.
func TestStall(t *testing.T) {
	h := failing(t, Options{Faults: []Fault{{Kind: "stall", After: 2}}})
	r, _ := http.NewRequest("POST", h.URL+completionsPath, strings.NewReader(ask(completionsPath, `"stream":true`)))
	r.Header.Set("Authorization", "Bearer "+testKey)
	response, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := io.ReadAtLeast(response.Body, b, 300)
	if err != nil || strings.Count(string(b[:n]), "\n\n") > 2 {
		t.Errorf("%q %v", b[:n], err)
	}
	response.Body.Close()
}

func TestFaultHeader(t *testing.T) {
	body := ask(completionsPath, "")
	on, off := failing(t, Options{FaultHeader: true}), failing(t, Options{})
	if r, _ := try(t, on, completionsPath, body, map[string]string{headerFault: "unavailable; delay=3s"}); r.status != 503 || r.header.Get("Retry-After") != "3" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if _, err := try(t, on, completionsPath, body, map[string]string{headerFault: "reset-mid; after=0"}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	for _, wrong := range []string{"explode", "stall; after=x", "stall; for=1"} {
		if r, _ := try(t, on, completionsPath, body, map[string]string{headerFault: wrong}); r.status != 400 {
			t.Errorf("%s: %d %s", wrong, r.status, r.body)
		}
	}
	for _, h := range []*httptest.Server{on, off} {
		header := map[string]string{headerFault: "error"}
		if h == on {
			header = nil
		}
		if r, _ := try(t, h, completionsPath, body, header); r.status != 200 {
			t.Errorf("%d", r.status)
		}
	}
}

func TestFaultDraw(t *testing.T) {
	f := newFaults([]Fault{{Kind: "error", Probability: 0.25, Count: 2}, {Kind: "reset", Probability: 0.5}})
	got := ""
	for _, x := range []float64{0.1, 0.9, 0.3, 0.2, 0.24, 0.6} {
		if fault, due := f.draw(func() float64 { return x }); due {
			got += fault.Kind[:1]
		} else {
			got += "-"
		}
	}
	if got != "e-rer-" {
		t.Errorf("%s", got)
	}
}
