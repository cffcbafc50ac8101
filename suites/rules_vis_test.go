package suites

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// visGood is what a good target answers to the probes of VIS: it reads text.
func visGood(f *Facts) []transcript {
	if f.Route != schemas.Chat {
		return nil
	}
	var ts []transcript
	for _, name := range []string{"image", "image.urls"} {
		for _, t := range refusals(f, name) {
			t.body = `{"error":{"message":"the model reads text only; remove the image","type":"x","param":"messages","code":null}}`
			ts = append(ts, t)
		}
	}
	return ts
}

// blind is the answer to the text beside an image that was not looked at.
func blind(t *transcript) {
	like := plainly(schemas.Chat, t.probe, nil, made{words(capped), "length", nil})
	t.status, t.body = http.StatusOK, like.body
}

// visited makes of a transcript the call of a target at the canary.
func visited(t *transcript) {
	t.label, t.status, t.error = fetched, 0, "sent by the target, to the harness"
	t.wire = wire{method: http.MethodGet, path: "/canary.png", raw: []byte{}}
}

// visFaults are what breaks each clause of VIS.
var visFaults = append(negativeFaults(visNegatives), []fault{
	{clause: "VIS-002", dialect: azure, route: schemas.Chat, probe: "image", label: "one", edit: blind},
	{clause: "VIS-002", dialect: DialectOpenAI, route: schemas.Chat, probe: "image", label: "one", edit: fails500},
	{clause: "VIS-004", dialect: azure, route: schemas.Chat, probe: "image.urls", label: "file", edit: accept200},
	{clause: "VIS-004", dialect: DialectOpenAI, route: schemas.Chat, probe: "image.urls", label: "http", edit: visited},
	{clause: "VIS-004", dialect: azure, route: schemas.Chat, probe: "image.urls", label: nearby, edit: fails500},
	{clause: "VIS-007", dialect: azure, route: schemas.Chat, probe: "image", label: "two", edit: refuse400},
	{clause: "VIS-010", dialect: azure, route: schemas.Chat, probe: "image.urls", label: "http", edit: accept200},
	{clause: "VIS-010", dialect: DialectOpenAI, route: schemas.Chat, probe: "image.urls", label: "http", edit: func(t *transcript) {
		t.status, t.error = 0, "timeout: no answer in 60s"
	}},
}...)

// TestCanary is about who comes to the address in a request, now and in a replay.
func TestCanary(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if url := gjson.GetBytes(b, "messages.0.content.1.image_url.url").Str; url != "" {
			response, err := http.Get(url)
			if err != nil || response.Header.Get("Content-Type") != "image/png" {
				t.Errorf("%s: %v", url, err)
				return
			}
			_ = response.Body.Close()
		}
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer target.Close()
	visits := func(o Options) (xs []*exchange.Exchange) {
		s, err := newSession(Target{BaseURL: target.URL, Dialect: DialectOpenAI}, o)
		if err != nil {
			t.Fatal(err)
		}
		f := &Facts{Route: schemas.Chat, target: s.target}
		for _, a := range probeByName["image.urls"].asks(f) {
			if a.canary {
				s.ask(t.Context(), s.gov.do, f.Route, "image.urls", a, true)
			}
		}
		found := 0
		for _, r := range s.record {
			xs = append(xs, r.Exchange)
			if r.label == fetched && strings.HasPrefix(r.Request.URL, "http://127.0.0.1:") {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d visits recorded of %d exchanges, want 1", found, len(xs))
		}
		return xs
	}
	visits(Options{Replay: visits(Options{Concurrency: 1, Timeout: time.Second})})
}
