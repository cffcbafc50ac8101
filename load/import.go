package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// Import reads the results of another tool as records and windows, so that
// old runs can be compared with new ones. It knows the result file of vLLM's
// "vllm bench serve --save-result --save-detailed", guidellm's benchmarks.json
// and aiperf's profile_export.jsonl, and tells them apart by their content.
//
// The other tools' times are taken as they are: what they call the start of a
// request becomes Sent, and there is no verdict on their client.
func Import(path string) (*Result, []*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	i, err := parseImport(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	r := i.result()
	return r, i.records, nil
}

// imported is what was read of another tool's results.
type imported struct {
	tool    string
	model   string
	url     string
	records []*Record
	stages  []StageConfig
	began   time.Time
	remarks []string
}

func parseImport(r io.Reader) (*imported, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	first, err := b.Peek(1)
	if err != nil {
		return nil, errors.New("empty")
	}
	for len(first) > 0 && bytes.ContainsAny(first[:1], " \t\r\n") {
		b.ReadByte()
		first, _ = b.Peek(1)
	}
	d := json.NewDecoder(b)
	var doc map[string]json.RawMessage
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	i := &imported{}
	switch {
	case doc["ttfts"] != nil || doc["request_throughput"] != nil && doc["total_input_tokens"] != nil:
		err = i.vllm(doc)
	case doc["benchmarks"] != nil:
		err = i.guidellm(doc)
	case doc["metadata"] != nil && doc["metrics"] != nil:
		err = i.aiperf(doc, d)
	default:
		return nil, errors.New("neither a result of vllm bench serve, nor of guidellm, nor of aiperf (profile_export.jsonl)")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.tool, err)
	}
	if len(i.records) == 0 {
		return nil, fmt.Errorf("%s: no requests in it", i.tool)
	}
	return i, nil
}

// nanoseconds of seconds, bounded.
func nanos(s float64) int64 {
	if math.IsNaN(s) || math.Abs(s) > 9e9 {
		return 0
	}
	return int64(math.Round(s * 1e9))
}

// vllm reads a detailed result. Without start times (before 2025) all
// requests stand at the begin, and only latencies mean something.
func (i *imported) vllm(doc map[string]json.RawMessage) error {
	i.tool = "vllm bench serve"
	var v struct {
		Model          string      `json:"model_id"`
		Duration       float64     `json:"duration"`
		Rate           any         `json:"request_rate"`
		MaxConcurrency *int        `json:"max_concurrency"`
		InputLens      []int       `json:"input_lens"`
		OutputLens     []int       `json:"output_lens"`
		TTFTs          []float64   `json:"ttfts"`
		ITLs           [][]float64 `json:"itls"`
		Errors         []string    `json:"errors"`
		StartTimes     []float64   `json:"start_times"`
	}
	raw, _ := json.Marshal(doc)
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	if len(v.TTFTs) == 0 {
		return errors.New("holds no single requests; run it with --save-detailed")
	}
	i.model = v.Model
	zero := math.Inf(1)
	for _, t := range v.StartTimes {
		zero = min(zero, t)
	}
	for k, ttft := range v.TTFTs {
		begin := leadIn.Seconds()
		if k < len(v.StartTimes) {
			begin += v.StartTimes[k] - zero
		}
		r := &Record{Index: k, Stream: true, Begun: nanos(begin), Sent: nanos(begin), Status: 200}
		if k < len(v.InputLens) {
			r.PromptTokens = v.InputLens[k]
		}
		if k < len(v.OutputLens) {
			r.OutputTokens = v.OutputLens[k]
		}
		if k < len(v.Errors) && v.Errors[k] != "" {
			r.Error, r.Message, r.Status = ErrTransport, clip(v.Errors[k]), 0
			r.End = r.Begun
		} else {
			r.FirstToken = r.Sent + nanos(ttft)
			r.LastToken, r.Chunks = r.FirstToken, 1
			if k < len(v.ITLs) {
				for _, g := range v.ITLs[k] {
					r.gap(nanos(g))
				}
			}
			r.End = r.LastToken
		}
		i.records = append(i.records, r)
	}
	if len(v.StartTimes) == 0 {
		i.remarks = append(i.remarks, "the file has no start times: throughput and the course of the run are not known")
	}
	st := StageConfig{Name: "1", Duration: v.Duration}
	if rate, ok := v.Rate.(float64); ok && rate > 0 && !math.IsInf(rate, 0) {
		st.Rate, st.Arrival = rate, "poisson"
	} else if v.MaxConcurrency != nil {
		st.Concurrency = *v.MaxConcurrency
	}
	i.stages = []StageConfig{st}
	return nil
}

// gap adds a chunk.
func (r *Record) gap(ns int64) {
	ns = max(0, ns)
	r.LastToken += ns
	r.Chunks++
	r.Gaps = append(r.Gaps, int32(min((ns+500)/1000, 1<<31-1)))
}

// guidellm reads benchmarks.json, of versions before and after 0.4.
func (i *imported) guidellm(doc map[string]json.RawMessage) error {
	i.tool = "guidellm"
	type metrics struct {
		Text  *int `json:"text_tokens"`
		Total *int `json:"total_tokens"`
	}
	type request struct {
		Info struct {
			Timings struct {
				Targeted *float64 `json:"targeted_start"`
				Start    *float64 `json:"request_start"`
				Resolve  *float64 `json:"resolve_start"`
				First    *float64 `json:"first_token_iteration"`
				FirstOld *float64 `json:"first_iteration"`
				Last     *float64 `json:"last_token_iteration"`
				LastOld  *float64 `json:"last_iteration"`
				Chunks   int      `json:"token_iterations"`
				End      *float64 `json:"request_end"`
				Resolved *float64 `json:"resolve_end"`
			} `json:"timings"`
			Error string `json:"error"`
		} `json:"info"`
		Input  metrics `json:"input_metrics"`
		Output metrics `json:"output_metrics"`
		// Before 0.4.
		StartTime *float64 `json:"start_time"`
		EndTime   *float64 `json:"end_time"`
		FirstTime *float64 `json:"first_token_time"`
		LastTime  *float64 `json:"last_token_time"`
		Prompt    *int     `json:"prompt_tokens"`
		Out       *int     `json:"output_tokens"`
		Error     string   `json:"error"`
	}
	type requests struct {
		Successful, Incomplete, Errored []request
	}
	var list []struct {
		Requests requests `json:"requests"`
		Request  requests `json:"request"`
		Config   struct {
			Strategy struct {
				Type    string   `json:"type_"`
				Rate    *float64 `json:"rate"`
				Streams *int     `json:"streams"`
				Max     *int     `json:"max_concurrency"`
			} `json:"strategy"`
		} `json:"config"`
	}
	if err := json.Unmarshal(doc["benchmarks"], &list); err != nil {
		return err
	}
	first := func(all ...*float64) float64 {
		for _, p := range all {
			if p != nil && *p > 0 {
				return *p
			}
		}
		return 0
	}
	zero := math.Inf(1)
	for _, b := range list {
		for _, set := range [][]request{b.Requests.Successful, b.Requests.Incomplete, b.Requests.Errored, b.Request.Successful} {
			for _, q := range set {
				if t := first(q.Info.Timings.Start, q.Info.Timings.Resolve, q.StartTime); t > 0 {
					zero = min(zero, t, or0(first(q.Info.Timings.Targeted), t))
				}
			}
		}
	}
	at := func(t float64) int64 {
		if t == 0 {
			return 0
		}
		return nanos(t-zero) + int64(leadIn)
	}
	for k, b := range list {
		st := StageConfig{Name: fmt.Sprint(k + 1)}
		switch s := b.Config.Strategy; {
		case s.Rate != nil && *s.Rate > 0:
			st.Rate, st.Arrival = *s.Rate, s.Type
		case s.Streams != nil:
			st.Concurrency = *s.Streams
		case s.Max != nil:
			st.Concurrency = *s.Max
		case s.Type == "synchronous":
			st.Concurrency = 1
		}
		i.stages = append(i.stages, st)
		for _, set := range []struct {
			list []request
			kind string
		}{{b.Requests.Successful, ""}, {b.Request.Successful, ""}, {b.Requests.Incomplete, ErrCancelled}, {b.Requests.Errored, ErrTransport}} {
			for _, q := range set.list {
				t := &q.Info.Timings
				r := &Record{Index: len(i.records), Stage: k, Stream: true, Error: set.kind, Message: clip(q.Info.Error + q.Error)}
				r.Sent = at(first(t.Start, t.Resolve, q.StartTime))
				r.Begun = r.Sent
				r.FirstToken, r.LastToken = at(first(t.First, t.FirstOld, q.FirstTime)), at(first(t.Last, t.LastOld, q.LastTime))
				r.End = max(at(first(t.End, t.Resolved, q.EndTime)), r.LastToken, r.Begun)
				r.Chunks = t.Chunks
				if st.Rate > 0 {
					r.Intended = at(first(t.Targeted))
				}
				for _, m := range []struct {
					of metrics
					at *int
					to *int
				}{{q.Input, q.Prompt, &r.PromptTokens}, {q.Output, q.Out, &r.OutputTokens}} {
					for _, p := range []*int{m.at, m.of.Total, m.of.Text} {
						if p != nil && *m.to == 0 {
							*m.to = *p
						}
					}
				}
				i.records = append(i.records, r)
			}
		}
	}
	if !math.IsInf(zero, 0) {
		i.began = time.Unix(0, nanos(zero)).Add(-leadIn).UTC()
	}
	i.remarks = append(i.remarks, "guidellm keeps no gaps between chunks: there is no inter-chunk latency")
	return nil
}

func or0(v, other float64) float64 {
	if v > 0 {
		return v
	}
	return other
}

// aiperf reads profile_export.jsonl, of which the first line is in doc.
func (i *imported) aiperf(doc map[string]json.RawMessage, d *json.Decoder) error {
	i.tool = "aiperf"
	type value struct {
		Value json.RawMessage `json:"value"`
		Unit  string          `json:"unit"`
	}
	type line struct {
		Metadata struct {
			Number    int    `json:"session_num"`
			Turn      int    `json:"turn_index"`
			Start     int64  `json:"request_start_ns"`
			Ack       *int64 `json:"request_ack_ns"`
			End       int64  `json:"request_end_ns"`
			Phase     string `json:"benchmark_phase"`
			Cancelled bool   `json:"was_cancelled"`
		} `json:"metadata"`
		Metrics map[string]value `json:"metrics"`
		Error   *struct {
			Code    int    `json:"code"`
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	number := func(v value) float64 {
		var x float64
		if json.Unmarshal(v.Value, &x) != nil {
			return 0
		}
		return x
	}
	// inNanos is a duration; aiperf states its unit.
	scale := map[string]float64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "sec": 1e9}
	var lines []line
	raw, _ := json.Marshal(doc)
	for n := 1; ; n++ {
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		lines = append(lines, l)
		var next json.RawMessage
		if err := d.Decode(&next); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		raw = next
	}
	zero := int64(math.MaxInt64)
	for _, l := range lines {
		zero = min(zero, l.Metadata.Start)
	}
	for _, l := range lines {
		m := l.Metadata
		r := &Record{Index: m.Number, Stream: true, Warmup: m.Phase == "warmup", Status: 200}
		r.Begun = m.Start - zero + int64(leadIn)
		r.Sent, r.End = r.Begun, m.End-zero+int64(leadIn)
		if m.Ack != nil {
			r.Headers = *m.Ack - zero + int64(leadIn)
		}
		if e := l.Error; e != nil {
			r.Error, r.Message, r.Status = ErrTransport, clip(e.Type+": "+e.Message), 0
			if m.Cancelled {
				r.Error = ErrCancelled
			} else if e.Code >= 400 && e.Code < 600 {
				r.Error, r.Status = fmt.Sprintf("%s%d", errHTTP, e.Code), e.Code
			}
		}
		r.PromptTokens = int(number(l.Metrics["input_sequence_length"]))
		r.OutputTokens = int(number(l.Metrics["output_sequence_length"]))
		if v, ok := l.Metrics["time_to_first_token"]; ok {
			r.FirstToken = r.Sent + int64(number(v)*scale[v.Unit])
			r.LastToken, r.Chunks = r.FirstToken, 1
			if g, ok := l.Metrics["inter_chunk_latency"]; ok {
				var all []float64
				if json.Unmarshal(g.Value, &all) == nil {
					for _, x := range all {
						r.gap(int64(x * scale[g.Unit]))
					}
				}
			} else if v, ok := l.Metrics["request_latency"]; ok {
				r.LastToken = r.Sent + int64(number(v)*scale[v.Unit])
			}
		}
		i.records = append(i.records, r)
	}
	i.began = time.Unix(0, zero).Add(-leadIn).UTC()
	i.stages = []StageConfig{{Name: "1"}}
	return nil
}

// result computes the figures as of a run of our own.
func (i *imported) result() *Result {
	h := &Header{Began: i.began, Config: &Config{URL: i.url, Model: i.model, Stages: i.stages}}
	ws := windowsOf(i.records)
	for len(ws) < len(i.stages) {
		ws = append(ws, Window{})
	}
	r := Assemble(h, []Part{{Records: i.records, Windows: ws}}, nil)
	r.Imported, r.Client = i.tool, nil
	r.Verdict = Verdict{Valid: true, Text: "IMPORTED: nothing is known of the client of " + i.tool}
	r.Findings = append(r.Findings, i.remarks...)
	for k := range r.Stages {
		if s := &r.Stages[k]; s.Concurrency == 0 && s.Rate == 0 {
			s.Label = "imported"
		}
	}
	return r
}
