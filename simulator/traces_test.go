package simulator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A backend takes spans as an OpenTelemetry collector does.
type backend struct {
	mu      sync.Mutex
	spans   []*spans.Span
	service string
	raw     string
	header  http.Header
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		http.Error(w, r.URL.Path, 400)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.raw += string(body)
	b.header = r.Header
	for _, resource := range request.ResourceSpans {
		b.service = attributeOf(resource.Resource.Attributes, "service.name").GetStringValue()
		for _, scope := range resource.ScopeSpans {
			b.spans = append(b.spans, scope.Spans...)
		}
	}
}

func attributeOf(list []*common.KeyValue, name string) *common.AnyValue {
	for _, kv := range list {
		if kv.Key == name {
			return kv.Value
		}
	}
	return nil
}

// traceEach serves with traces, and returns what the backend has got after ask.
func traceEach(t *testing.T, o Options, traces Traces, ask func(h *httptest.Server)) *backend {
	t.Helper()
	b := &backend{}
	to := httptest.NewServer(b)
	defer to.Close()
	if traces.Endpoint == "" {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.URL)
	} else {
		traces.Endpoint = to.URL
	}
	p, err := NewTracerProvider(t.Context(), traces, "1")
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	o.Tracer, o.TracePrompts = p, traces.Prompts
	_, h := operated(t, o)
	ask(h)
	h.Close() // each request has ended
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan  = "00f067aa0ba902b7"
)

func TestTraces(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=7")
	for _, e := range generating() {
		b := traceEach(t, Options{}, Traces{}, func(h *httptest.Server) {
			r := do(t, h, "POST", e.path, ask(e.path, `"max_tokens":9,"temperature":0.5,"seed":3,"stop":"sesame","stream":true`), map[string]string{
				"Authorization": "Bearer " + testKey, "traceparent": "00-" + parentTrace + "-" + parentSpan + "-01",
			})
			if r.status != 200 {
				t.Fatalf("%s: %s", e, r.body)
			}
			do(t, h, "GET", healthPath, "", nil)
			do(t, h, "GET", metricsPath, "", nil)
		})
		if len(b.spans) != 1 || b.service != "touchstone-serve" || b.header.Get("X-Tenant") != "7" {
			t.Fatalf("%s: %d spans of %q: %v", e, len(b.spans), b.service, b.header)
		}
		s := b.spans[0]
		if id, parent := hexOf(s.TraceId), hexOf(s.ParentSpanId); id != parentTrace || parent != parentSpan || s.Kind != spans.Span_SPAN_KIND_SERVER {
			t.Errorf("%s: trace %s, parent %s, %s", e, id, parent, s.Kind)
		}
		operation := map[string]string{"chat": "chat", "completions": "text_completion"}[e.route.name]
		if s.Name != operation+" fake" || s.Status.GetCode() != spans.Status_STATUS_CODE_UNSET || s.EndTimeUnixNano <= s.StartTimeUnixNano {
			t.Errorf("%s: %v", e, s)
		}
		for name, want := range map[string]string{
			"gen_ai.operation.name": operation, "gen_ai.request.model": "fake", "gen_ai.response.model": "fake", "http.request.method": "POST",
			"touchstone.deployment": theOne, "touchstone.dialect": e.dialect.name,
		} {
			if got := attributeOf(s.Attributes, name).GetStringValue(); got != want {
				t.Errorf("%s: %s is %q, want %q", e, name, got, want)
			}
		}
		for name, want := range map[string]int64{"gen_ai.request.max_tokens": 9, "gen_ai.request.seed": 3, "gen_ai.usage.output_tokens": 7, "http.response.status_code": 200} {
			if got := attributeOf(s.Attributes, name).GetIntValue(); got != want {
				t.Errorf("%s: %s is %d, want %d", e, name, got, want)
			}
		}
		if reasons := attributeOf(s.Attributes, "gen_ai.response.finish_reasons").GetArrayValue().GetValues(); len(reasons) != 1 || reasons[0].GetStringValue() != "stop" {
			t.Errorf("%s: finish reasons %v", e, reasons)
		}
		for _, name := range []string{"gen_ai.latency.time_to_first_token", "gen_ai.latency.time_in_queue", "gen_ai.usage.input_tokens", "gen_ai.response.id"} {
			if attributeOf(s.Attributes, name) == nil {
				t.Errorf("%s: no %s", e, name)
			}
		}
		for _, text := range []string{"How far", "moon", "sesame", testKey} {
			if strings.Contains(b.raw, text) {
				t.Errorf("%s: the span has the text %q", e, text)
			}
		}
	}
}

func hexOf(b []byte) string {
	var s strings.Builder
	for _, x := range b {
		s.WriteByte(hex[x>>4])
		s.WriteByte(hex[x&15])
	}
	return s.String()
}

// TestTracesAsked: with prompts, what was said is there; of failures, whose they
// are.
func TestTracesAsked(t *testing.T) {
	f := newFake()
	f.fail = 2
	for _, c := range []struct {
		name, body, code string
		generator        Generator
		failed           bool
	}{
		{"answered", ask(chatPath, `"stop":"sesame"`), "", newFake(), false},
		{"refused", `{"messages":5}`, "400", newFake(), false},
		{"failed", ask(chatPath, ``), "500", f, true},
		{"failed in a stream", ask(chatPath, `"stream":true`), "generation_failed", f, true},
	} {
		b := traceEach(t, Options{Generator: c.generator}, Traces{Endpoint: "set", Prompts: true}, func(h *httptest.Server) { post(t, h, chatPath, c.body) })
		if len(b.spans) != 1 {
			t.Fatalf("%s: %d spans", c.name, len(b.spans))
		}
		s := b.spans[0]
		if got := attributeOf(s.Attributes, "error.type").GetStringValue(); got != c.code || (s.Status.GetCode() == spans.Status_STATUS_CODE_ERROR) != c.failed {
			t.Errorf("%s: error.type %q, status %v", c.name, got, s.Status)
		}
		if c.code == "" {
			in, out := attributeOf(s.Attributes, "gen_ai.input.messages").GetStringValue(), attributeOf(s.Attributes, "gen_ai.output.messages").GetStringValue()
			if !strings.Contains(in, `"role":"user","parts":[{"type":"text","content":"`) || !strings.Contains(out, `The moon is far away.`) || !strings.Contains(b.raw, "sesame") {
				t.Errorf("%s: in %s, out %s", c.name, in, out)
			}
		}
	}
}

// TestTracesUpstream: the span of a server behind is below that of the one in
// front, and both below the client's.
func TestTracesUpstream(t *testing.T) {
	b := &backend{}
	to := httptest.NewServer(b)
	defer to.Close()
	p, err := NewTracerProvider(t.Context(), Traces{Endpoint: to.URL}, "1")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(g Generator, dialects ...string) *httptest.Server {
		s, err := New(Options{Generator: g, Tracer: p, Dialects: dialects})
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(s)
		t.Cleanup(h.Close)
		return h
	}
	behind := serve(Random(1000), "openai")
	g, err := Upstream(t.Context(), UpstreamConfig{URL: behind.URL})
	if err != nil {
		t.Fatal(err)
	}
	front := serve(g)
	if r := do(t, front, "POST", completionsPath, ask(completionsPath, ""), map[string]string{"traceparent": "00-" + parentTrace + "-" + parentSpan + "-01"}); r.status != 200 {
		t.Fatal(r.body)
	}
	front.Close()
	behind.Close()
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	by := map[string]*spans.Span{} // the span below a span
	for _, s := range b.spans {
		if hexOf(s.TraceId) == parentTrace && strings.HasPrefix(s.Name, "text_completion") {
			by[hexOf(s.ParentSpanId)] = s
		}
	}
	if outer := by[parentSpan]; outer == nil || by[hexOf(outer.SpanId)] == nil {
		t.Errorf("%v", b.spans)
	}
}

// TestTracesOff: without an endpoint there is no provider, and no span.
func TestTracesOff(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", ""}, {"OTEL_SDK_DISABLED", "true"}, {"OTEL_TRACES_EXPORTER", "none"}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(c.name, c.value)
			p, err := NewTracerProvider(t.Context(), Traces{}, "1")
			if p != nil || (err != nil) != (c.value == "grpc") {
				t.Errorf("%v, %v", p, err)
			}
		})
	}
	if _, err := NewTracerProvider(t.Context(), Traces{Endpoint: "collector:4318"}, "1"); err == nil || !strings.Contains(err.Error(), "traces.otlp_endpoint") {
		t.Errorf("%v", err)
	}
}
