package simulator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/touchstone-llm/touchstone/engine"
)

// Traces say where spans go: one for each request to an endpoint. Where nothing
// says so, none are made.
type Traces struct {
	// Endpoint is an OTLP/HTTP endpoint, such as http://collector:4318; "" takes
	// it from OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT.
	Endpoint string `yaml:"otlp_endpoint"`
	// Prompts puts the text of prompts and answers, and stop strings, into the
	// spans.
	Prompts bool `yaml:"prompts"`
}

func (t Traces) validate() error {
	if t.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(t.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return at("otlp_endpoint", errors.New("must be http://HOST:PORT or https://HOST:PORT, without a password"))
	}
	return nil
}

// configured says whether t or the environment names an endpoint.
func (t Traces) configured() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return cmp.Or(t.Endpoint, os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// NewTracerProvider returns a provider that sends spans over OTLP/HTTP as t and
// the standard OTEL_ variables say, nil if neither names an endpoint. The caller
// ends it by Shutdown, which sends the last spans.
func NewTracerProvider(ctx context.Context, t Traces, version string) (*sdk.TracerProvider, error) {
	if err := t.validate(); err != nil {
		return nil, at("traces", err)
	}
	if !t.configured() {
		return nil, nil
	}
	if p := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); p != "" && p != "http/protobuf" {
		return nil, fmt.Errorf("traces: OTEL_EXPORTER_OTLP_PROTOCOL is %q; only http/protobuf is spoken", p)
	}
	var options []otlptracehttp.Option
	if t.Endpoint != "" {
		endpoint := strings.TrimSuffix(t.Endpoint, "/")
		if u, _ := url.Parse(endpoint); u.Path == "" {
			endpoint += "/v1/traces"
		}
		options = append(options, otlptracehttp.WithEndpointURL(endpoint))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	from, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("touchstone-serve"), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(from)), nil
}

// A tracing makes the spans of a server.
type tracing struct {
	tracer  trace.Tracer
	prompts bool
}

func newTracing(p trace.TracerProvider, prompts bool) *tracing {
	return &tracing{p.Tracer("github.com/touchstone-llm/touchstone/simulator"), prompts}
}

var traceContext propagation.TraceContext

// begin starts the span of a request, below the one that its traceparent names.
func (t *tracing) begin(sent *recorder, r *http.Request) *http.Request {
	ctx := traceContext.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, sent.span = t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(sent.begun))
	return r.WithContext(ctx)
}

// end ends it, with what is known of the request by now.
func (t *tracing) end(sent *recorder, r *http.Request, broken bool) {
	span := sent.span
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(semconv.HTTPRequestMethodKey.String(r.Method), semconv.URLPath(clip(r.URL.Path)))
	failed := ""
	if sent.status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(sent.status))
		if sent.status >= http.StatusBadRequest {
			failed = strconv.Itoa(sent.status)
		}
	}
	switch c := sent.call; {
	case r.Context().Err() != nil:
		failed = "client_gone"
	case broken:
		failed = "connection_cut"
	case c != nil && c.failure != nil:
		failed = "generation_failed"
	}
	if failed != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(failed))
	}
	if failed != "" && (sent.status < http.StatusBadRequest || sent.status >= http.StatusInternalServerError) {
		span.SetStatus(codes.Error, failed) // a client's own mistake is no error of the server
	}
	if sent.call != nil {
		span.SetName(sent.call.operation().Value.AsString() + " " + sent.call.model)
		span.SetAttributes(sent.call.attributes()...)
		if t.prompts {
			span.SetAttributes(sent.call.texts()...)
		}
	}
}

// operation is what OpenTelemetry calls the route.
func (c *call) operation() attribute.KeyValue {
	switch c.route.name {
	case "chat":
		return semconv.GenAIOperationNameChat
	case "completions":
		return semconv.GenAIOperationNameTextCompletion
	}
	return semconv.GenAIOperationNameKey.String(c.route.name)
}

// attributes describe the call: gen_ai.* as OpenTelemetry's conventions have
// them, gen_ai.latency.* as vLLM has. None holds text of the client.
func (c *call) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{
		c.operation(), semconv.GenAIProviderNameKey.String("touchstone"), semconv.GenAIRequestModel(c.model), semconv.GenAIResponseModel(c.model), semconv.GenAIResponseID(c.id),
		semconv.HTTPRoute(c.dialect.root + c.route.path), attribute.String("touchstone.dialect", c.dialect.name),
		attribute.String("touchstone.endpoint", c.deployment.endpoint), attribute.String("touchstone.deployment", c.deployment.name),
	}
	if c.prompts != nil {
		list = append(list, semconv.GenAIUsageInputTokens(c.promptTokens()))
	}
	if c.generated == nil {
		return list // refused, or nothing to generate
	}
	r := &c.request
	list = append(list, semconv.GenAIUsageOutputTokens(c.completionTokens()), semconv.GenAIRequestMaxTokens(r.MaxTokens), semconv.GenAIRequestTemperature(r.Temperature),
		semconv.GenAIRequestTopP(r.TopP), semconv.GenAIRequestFrequencyPenalty(r.FrequencyPenalty), semconv.GenAIRequestPresencePenalty(r.PresencePenalty),
		semconv.GenAIRequestChoiceCount(r.N), semconv.GenAIRequestStream(c.values.flag("stream")))
	if r.TopK > 0 {
		list = append(list, semconv.GenAIRequestTopK(float64(r.TopK)))
	}
	if r.Seed != nil {
		list = append(list, semconv.GenAIRequestSeed(int(*r.Seed)))
	}
	if l := c.traced; l != nil {
		list = append(list, semconv.GenAIResponseFinishReasons(l.reasons...), attribute.Float64("gen_ai.latency.time_in_queue", c.turn.Sub(c.begun).Seconds()))
		if !l.first.IsZero() {
			list = append(list, attribute.Float64("gen_ai.latency.time_to_first_token", l.first.Sub(c.begun).Seconds()))
		}
	}
	return list
}

// A spanMessage was said, as gen_ai.input.messages has it.
type spanMessage struct {
	Role   string     `json:"role"`
	Parts  []spanPart `json:"parts"`
	Finish string     `json:"finish_reason,omitempty"`
}

type spanPart struct {
	Type    string `json:"type"`
	Content string `json:"content"`
}

// texts are what was said by the client and by the model.
func (c *call) texts() []attribute.KeyValue {
	var in, out []spanMessage
	if said, ok := c.values.of(c.route.input().name).([]engine.Message); ok {
		for _, m := range said {
			in = append(in, spanMessage{Role: m.Role, Parts: []spanPart{{"text", m.Content}}})
		}
	} else if c.values.route != nil {
		for prompt := range c.inputs {
			in = append(in, spanMessage{Role: "user", Parts: []spanPart{{"text", strings.Join(prompt, "")}}})
		}
	}
	if c.traced != nil {
		for i, text := range c.traced.texts {
			out = append(out, spanMessage{Role: "assistant", Parts: []spanPart{{"text", string(text)}}, Finish: c.traced.reasons[i]})
		}
	}
	list := []attribute.KeyValue{semconv.GenAIRequestStopSequences(c.request.Stop...)}
	for key, said := range map[attribute.Key][]spanMessage{semconv.GenAIInputMessagesKey: in, semconv.GenAIOutputMessagesKey: out} {
		if b, err := json.Marshal(said); err == nil && len(said) > 0 {
			list = append(list, key.String(string(b)))
		}
	}
	return list
}

// A traced answer is what a span says of it.
type traced struct {
	first   time.Time // when its first step was sent
	reasons []string  // by choice; "" did not end
	texts   [][]byte  // by choice, if they are wanted
}

// trace notes what goes by, if there is a span to tell.
func (c *call) trace(steps engine.Steps) engine.Steps {
	t := c.server.tracing
	if t == nil {
		return steps
	}
	to := &traced{reasons: make([]string, c.choices())}
	if t.prompts {
		to.texts = make([][]byte, c.choices())
	}
	c.traced = to
	return func(yield func(engine.Step, error) bool) {
		for s, err := range steps {
			if err == nil && s.Choice < len(to.reasons) {
				if to.first.IsZero() {
					to.first = time.Now()
				}
				to.reasons[s.Choice] = cmp.Or(string(s.Finish), to.reasons[s.Choice])
				if to.texts != nil {
					to.texts[s.Choice] = append(to.texts[s.Choice], s.Text...)
				}
			}
			if !yield(s, err) {
				return
			}
		}
	}
}
