package load

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// A Telemetry sends a run's figures over OTLP while it goes, under
// OpenTelemetry's names for generative AI. Prometheus takes OTLP too.
type Telemetry struct {
	provider *sdk.MeterProvider
}

// secondsBounds are the histogram bounds that the conventions name for
// durations of a request.
var secondsBounds = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}

// SendTelemetry sends what job measures to an OTLP/HTTP endpoint, such as
// http://collector:4318; "" takes it from OTEL_EXPORTER_OTLP_ENDPOINT and its
// kin, as the headers are taken from OTEL_EXPORTER_OTLP_HEADERS. Stop sends the
// rest.
func SendTelemetry(ctx context.Context, endpoint string, every time.Duration, job *Job) (*Telemetry, error) {
	var options []otlpmetrichttp.Option
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, fmt.Errorf("OTLP: %w", err)
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/metrics"
		}
		options = append(options, otlpmetrichttp.WithEndpointURL(u.String()))
	}
	exporter, err := otlpmetrichttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("OTLP: %w", err)
	}
	t := &Telemetry{}
	t.provider = sdk.NewMeterProvider(
		sdk.WithReader(sdk.NewPeriodicReader(exporter, sdk.WithInterval(every))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "touchstone-load"), attribute.String("service.version", job.Version))))
	m := t.provider.Meter("github.com/touchstone-llm/touchstone/load")
	bounds := metric.WithExplicitBucketBoundaries(secondsBounds...)
	var made []error
	histogram := func(name, about string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(about), bounds)
		made = append(made, err)
		return h
	}
	counter := func(name, unit, about string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
		made = append(made, err)
		return c
	}
	duration := histogram("gen_ai.client.operation.duration", "From the send to the last token.")
	first := histogram("gen_ai.server.time_to_first_token", "From the send to the first token, as the client sees it.")
	per := histogram("gen_ai.server.time_per_output_token", "Per output token after the first, as the client sees it.")
	schedule := histogram("touchstone.load.time_to_first_token_from_schedule", "From the intended send to the first token.")
	tokens := counter("touchstone.load.tokens", "{token}", "Tokens in and out.")
	requests := counter("touchstone.load.requests", "{request}", "Requests that ended.")
	live := job.Live
	if live == nil {
		live = &Live{}
		job.Live = live
	}
	_, err = m.Int64ObservableGauge("touchstone.load.requests_in_flight", metric.WithUnit("{request}"), metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(live.InFlight.Load())
		return nil
	}))
	for _, e := range append(made, err) {
		if e != nil {
			return nil, fmt.Errorf("OTLP: %w", e)
		}
	}
	common := []attribute.KeyValue{attribute.String("gen_ai.request.model", job.Target.Model)}
	onRecord := job.OnRecord
	job.OnRecord = func(r *Record) {
		if onRecord != nil {
			onRecord(r)
		}
		ctx := context.Background()
		operation := "chat"
		for _, w := range job.Works {
			if w.Name == r.Work && w.Route == Completions {
				operation = "text_completion"
			}
		}
		all := append(common[:1:1], attribute.String("gen_ai.operation.name", operation))
		if !r.OK() {
			all = append(all, attribute.String("error.type", r.Error))
		}
		at := metric.WithAttributes(all...)
		requests.Add(ctx, 1, at)
		for _, x := range []struct {
			h  metric.Float64Histogram
			of func(*Record) (int64, bool)
		}{{duration, (*Record).E2E}, {first, (*Record).TTFT}, {per, (*Record).TPOT}, {schedule, (*Record).TTFTFromSchedule}} {
			if v, ok := x.of(r); ok && r.OK() {
				x.h.Record(ctx, float64(v)/1e9, at)
			}
		}
		n, _ := r.Tokens()
		tokens.Add(ctx, int64(r.PromptTokens), metric.WithAttributes(append(all, attribute.String("gen_ai.token.type", "input"))...))
		tokens.Add(ctx, int64(n), metric.WithAttributes(append(all, attribute.String("gen_ai.token.type", "output"))...))
	}
	return t, nil
}

// Stop sends what was not sent yet. The error says why the endpoint did not
// take it.
func (t *Telemetry) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("OTLP: %w", err)
	}
	return nil
}
