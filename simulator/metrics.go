package simulator

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/touchstone-llm/touchstone/engine"
)

// metrics are what /metrics shows: under vLLM's names where it has them, so that
// dashboards made for it work, and under touchstone: what only a simulator has.
type metrics struct {
	handler http.Handler

	prompt, generated                   *prometheus.CounterVec
	ttft, itl, e2e, queued              *prometheus.HistogramVec
	promptLength, answerLength          *prometheus.HistogramVec
	askedChoices, askedLength           *prometheus.HistogramVec
	askedTTFT, askedITL                 *prometheus.HistogramVec
	success, requests, faults, filtered *prometheus.CounterVec
}

// deploymentLabels are on all metrics of a deployment.
var deploymentLabels = []string{"model_name", "endpoint", "deployment"}

// The buckets of vLLM, and below them some for simulated latencies.
var (
	ttftBuckets = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
	itlBuckets  = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}
	e2eBuckets  = []float64{0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240}
	sizeBuckets = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000}
	someBuckets = []float64{1, 2, 5, 10, 20}
)

func newMetrics(s *Server) *metrics {
	registry := prometheus.NewRegistry()
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(deploymentLabels[:3:3], more...))
		registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, deploymentLabels)
		registry.MustRegister(h)
		return h
	}
	m := &metrics{
		handler:      promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
		prompt:       counter("vllm:prompt_tokens_total", "Tokens of prompts."),
		generated:    counter("vllm:generation_tokens_total", "Tokens generated."),
		success:      counter("vllm:request_success_total", "Choices that ended, by their finish reason.", "finished_reason"),
		ttft:         histogram("vllm:time_to_first_token_seconds", "Time to the first token of a stream, as it was sent.", ttftBuckets),
		itl:          histogram("vllm:inter_token_latency_seconds", "Time between the tokens of a stream, as they were sent.", itlBuckets),
		e2e:          histogram("vllm:e2e_request_latency_seconds", "Time to the end of an answer.", e2eBuckets),
		queued:       histogram("vllm:request_queue_time_seconds", "Time that a request waited for a place.", e2eBuckets),
		promptLength: histogram("vllm:request_prompt_tokens", "Tokens of the prompt of a request.", sizeBuckets),
		answerLength: histogram("vllm:request_generation_tokens", "Tokens generated for a request.", sizeBuckets),
		askedChoices: histogram("vllm:request_params_n", "The n of a request.", someBuckets),
		askedLength:  histogram("vllm:request_params_max_tokens", "The max_tokens of a request.", sizeBuckets),
		askedTTFT:    histogram("touchstone:asked_time_to_first_token_seconds", "Time to the first token that the latency profile asked for.", ttftBuckets),
		askedITL:     histogram("touchstone:asked_inter_token_latency_seconds", "Time between tokens that the latency profile asked for.", itlBuckets),
		requests:     counter("touchstone:http_requests_total", "Requests, by route and status.", "dialect", "route", "status"),
		faults:       counter("touchstone:faults_total", "Faults that happened.", "kind"),
		filtered:     counter("touchstone:filtered_total", "Prompts and completions that content safety withheld.", "what"),
	}
	registry.MustRegister(gauges{s})
	return m
}

// A deploymentMetrics is what is counted in one deployment, looked up once.
type deploymentMetrics struct {
	prompt, generated                   prometheus.Counter
	ttft, itl, e2e, askedTTFT, askedITL prometheus.Observer
	queued, promptLength, answerLength  prometheus.Observer
	askedChoices, askedLength           prometheus.Observer
	stop, length                        prometheus.Counter // of success
	ok                                  map[*route]prometheus.Counter
}

func (m *metrics) of(d *deployment) deploymentMetrics {
	l := d.labels()
	ok := map[*route]prometheus.Counter{}
	for _, mount := range d.site.mounts {
		if mount.route != nil {
			ok[mount.route] = m.requests.WithLabelValues(d.labels(mount.dialect.name, mount.route.name, "200")...)
		}
	}
	return deploymentMetrics{
		ok: ok, stop: m.success.WithLabelValues(d.labels("stop")...), length: m.success.WithLabelValues(d.labels("length")...),
		prompt: m.prompt.WithLabelValues(l...), generated: m.generated.WithLabelValues(l...),
		ttft: m.ttft.WithLabelValues(l...), itl: m.itl.WithLabelValues(l...), e2e: m.e2e.WithLabelValues(l...),
		askedTTFT: m.askedTTFT.WithLabelValues(l...), askedITL: m.askedITL.WithLabelValues(l...),
		queued: m.queued.WithLabelValues(l...), promptLength: m.promptLength.WithLabelValues(l...), answerLength: m.answerLength.WithLabelValues(l...),
		askedChoices: m.askedChoices.WithLabelValues(l...), askedLength: m.askedLength.WithLabelValues(l...),
	}
}

func (d *deployment) labels(more ...string) []string {
	return append([]string{d.model, d.endpoint, d.name}, more...)
}

func (m *metrics) fault(d *deployment, kind string) {
	m.faults.WithLabelValues(d.labels(kind)...).Inc()
}

// request counts one that is over.
func (m *metrics) request(sent *recorder, took time.Duration) {
	c := sent.call
	if c == nil {
		return
	}
	d := c.deployment
	if sent.status == http.StatusOK {
		d.metrics.ok[c.route].Inc()
	} else {
		m.requests.WithLabelValues(d.labels(c.dialect.name, c.route.name, strconv.Itoa(sent.status))...).Inc()
	}
	if sent.status != http.StatusOK || c.generated == nil {
		return
	}
	prompt, generated := float64(c.promptTokens()), float64(c.completionTokens())
	d.metrics.prompt.Add(prompt)
	d.metrics.generated.Add(generated)
	d.metrics.e2e.Observe(took.Seconds())
	d.metrics.queued.Observe(c.turn.Sub(c.begun).Seconds())
	d.metrics.promptLength.Observe(prompt)
	d.metrics.answerLength.Observe(generated)
	d.metrics.askedChoices.Observe(float64(c.request.N))
	d.metrics.askedLength.Observe(float64(c.request.MaxTokens))
}

// observe measures the steps of a stream as they are sent.
func (c *call) observe(steps engine.Steps) engine.Steps {
	return func(yield func(engine.Step, error) bool) {
		m, last, first := &c.deployment.metrics, c.begun, true
		for s, err := range steps {
			if err == nil {
				c.ended(s.Finish)
				if s.Choice == 0 {
					now := time.Now()
					if first {
						m.ttft.Observe(now.Sub(last).Seconds())
					} else {
						m.itl.Observe(now.Sub(last).Seconds())
					}
					first, last = false, now
				}
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// ended counts a choice by its finish reason.
func (c *call) ended(reason engine.FinishReason) {
	m, d := c.server.metrics, c.deployment
	switch reason {
	case "":
	case engine.FinishStop:
		d.metrics.stop.Inc()
	case engine.FinishLength:
		d.metrics.length.Inc()
	default:
		m.success.WithLabelValues(d.labels(string(reason))...).Inc()
	}
	if reason == finishFiltered {
		m.filtered.WithLabelValues(d.labels("completion")...).Inc()
	}
}

// A statistician is a [Generator] that says what its engine does.
type statistician interface {
	Stats() engine.Stats
}

// An engineReading is a number that the engine knows. Deployments that share an
// engine show the same.
type engineReading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(engine.Stats) float64
}

var engineReadings = []engineReading{
	{desc("vllm:kv_cache_usage_perc", "Share of the memory for keys and values that requests use, 0 to 1."), prometheus.GaugeValue, engine.Stats.KVCacheUsage},
	{desc("vllm:prefix_cache_queries_total", "Tokens of prompts that were looked for in the prefix cache."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.PrefixCacheQueries) }},
	{desc("vllm:prefix_cache_hits_total", "Tokens of prompts that were found in the prefix cache."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.PrefixCacheHits) }},
	{desc("vllm:num_preemptions_total", "Sequences put off for want of memory."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.Preemptions) }},
	{desc("touchstone:engine_steps_total", "Forward passes."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.Steps) }},
	{desc("touchstone:engine_step_tokens_total", "Tokens that forward passes computed, those of prompts included."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.StepTokens) }},
}

// gauges are read when they are asked for.
type gauges struct{ server *Server }

func desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append(deploymentLabels[:3:3], more...), nil)
}

var (
	runningGauge   = desc("vllm:num_requests_running", "Requests that are being answered.")
	waitingGauge   = desc("vllm:num_requests_waiting", "Requests that wait for a place, or for memory of the engine.")
	limitGauge     = desc("touchstone:quota_limit", "The quota of a minute.", "of")
	remainingGauge = desc("touchstone:quota_remaining", "What is left of the quota.", "of")
)

func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{runningGauge, waitingGauge, limitGauge, remainingGauge} {
		to <- d
	}
	for _, r := range engineReadings {
		to <- r.desc
	}
}

func (g gauges) Collect(to chan<- prometheus.Metric) {
	value := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, labels []string) {
		to <- prometheus.MustNewConstMetric(desc, kind, v, labels...)
	}
	for d := range g.server.current().all {
		labels, running, held := d.labels(), d.running.Load(), int64(0)
		if d.engine != nil {
			stats := d.engine.Stats()
			for _, r := range engineReadings {
				value(r.desc, r.kind, r.of(stats), labels)
			}
			held = min(int64(stats.Waiting), running)
		}
		value(runningGauge, prometheus.GaugeValue, float64(running-held), labels)
		value(waitingGauge, prometheus.GaugeValue, float64(d.places.queued()+held), labels)
		for _, q := range d.quotaState() {
			value(limitGauge, prometheus.GaugeValue, float64(q.Limit), d.labels(q.Of))
			value(remainingGauge, prometheus.GaugeValue, float64(q.Remaining), d.labels(q.Of))
		}
	}
}
