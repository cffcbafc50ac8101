package load

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
)

// RateLimitOptions say how limits are looked for.
type RateLimitOptions struct {
	// Concurrency is how many requests are sent at once.
	Concurrency int
	// Duration is for how long the target is kept under demand.
	Duration time.Duration
	// Cycles is how often Retry-After is put to the test.
	Cycles int
	// Window is what x-ratelimit-limit-* speaks of; 0 is a minute.
	Window time.Duration
	OnNote func(string)
}

// A RateLimit is what a target really admits, beside what it says.
type RateLimit struct {
	// Limited is whether any request was refused with 429.
	Limited  bool    `json:"limited"`
	Seconds  float64 `json:"seconds"`
	Offered  int     `json:"offered"`
	Admitted int     `json:"admitted"`
	Refused  int     `json:"refused"`
	Failed   int     `json:"failed"` // in other ways
	// Burst is how many requests were admitted before the first refusal, in
	// BurstSeconds.
	Burst        int     `json:"burst"`
	BurstSeconds float64 `json:"burst_seconds"`
	// Sustained is what was admitted a minute from the first refusal on.
	RequestsPerMinute float64 `json:"requests_per_minute"`
	TokensPerMinute   float64 `json:"tokens_per_minute"`
	// MostPerMinute is the most that was admitted in any sixty seconds.
	MostPerMinute int `json:"most_per_minute,omitempty"`
	// Stated are the limits in the headers, by name: the last value seen.
	Stated map[string]string `json:"stated,omitempty"`
	// Truths are the claims of the headers and whether they held.
	Truths []Truth `json:"truths,omitempty"`
}

// A Truth is a claim of a header, held against what was seen.
type Truth struct {
	Claim string `json:"claim"`
	Holds bool   `json:"holds"`
	Seen  string `json:"seen"`
}

// CheckRateLimit finds the limits of a target: it keeps it under demand until
// it refuses, counts what is admitted from then on, and puts Retry-After and
// x-ratelimit-* to the test. It sends as much as the target admits.
func CheckRateLimit(ctx context.Context, job Job, o RateLimitOptions) (*RateLimit, error) {
	if o.Concurrency < 1 || o.Duration <= 0 {
		return nil, fmt.Errorf("concurrency %d for %s: want at least one request at a time, for some time", o.Concurrency, o.Duration)
	}
	mix, err := NewMix(job.Works, job.Target.Model, job.Seed, job.Tokenizer, nil)
	if err != nil {
		return nil, err
	}
	s, err := newSender(job.Target, job.HTTP, job.Timeout)
	if err != nil {
		return nil, err
	}
	if !job.NoLearn {
		if _, err := Learn(ctx, job.Target, job.HTTP, job.Timeout, mix); err != nil {
			return nil, err
		}
	}
	defer s.client.CloseIdleConnections()
	s.began, s.analyst, s.live = time.Now(), newAnalyst(), job.Live
	defer s.analyst.close()
	c := &rateCheck{sender: s, mix: mix, o: o}
	s.finish = func(r *reading) {}
	return c.run(ctx), nil
}

type rateCheck struct {
	*sender
	mix   *Mix
	o     RateLimitOptions
	all   []*Record
	notes RateLimit
}

func (c *rateCheck) note(format string, a ...any) {
	if c.o.OnNote != nil {
		c.o.OnNote(fmt.Sprintf(format, a...))
	}
}

// ask sends the next request and waits for its record.
func (c *rateCheck) ask(ctx context.Context, index int) *Record {
	rec := &Record{Index: index}
	rd := c.send(ctx, c.mix.Request(index, -1), rec, true, nil)
	<-rd.ended
	rec.Message = c.redact.clean(rec.Message)
	return rec
}

func refusedRate(r *Record) bool { return r.Status == http.StatusTooManyRequests }

func (c *rateCheck) run(ctx context.Context) *RateLimit {
	n := &c.notes
	c.demand(ctx)
	// In the order of their answers: that is when the target had decided.
	slices.SortFunc(c.all, func(a, b *Record) int { return cmp.Compare(a.End, b.End) })
	first := int64(-1)
	var admitted []int64
	tokens, since := 0, 0
	start := int64(0)
	if len(c.all) > 0 {
		start = c.all[0].Begun
		for _, r := range c.all {
			start = min(start, r.Begun)
		}
	}
	last := start
	n.Stated = map[string]string{}
	for _, r := range c.all {
		n.Offered++
		last = max(last, r.End)
		for k, v := range r.Limits {
			n.Stated[k] = v
		}
		switch {
		case refusedRate(r):
			n.Refused++
			if first < 0 {
				first = r.End
			}
		case r.OK():
			n.Admitted++
			admitted = append(admitted, r.End)
			if first < 0 {
				n.Burst++
			} else {
				out, _ := r.Tokens()
				tokens += r.PromptTokens + out
				since++
			}
		case r.Error == ErrCancelled:
			n.Offered--
		default:
			n.Failed++
		}
	}
	n.Limited = first >= 0
	n.Seconds = float64(last-start) / 1e9
	if n.Limited {
		n.BurstSeconds = float64(first-start) / 1e9
		if m := float64(last-first) / 60e9; m > 0 {
			n.RequestsPerMinute, n.TokensPerMinute = math.Round(100*float64(since)/m)/100, math.Round(float64(tokens)/m)
		}
	} else if n.Seconds > 0 {
		n.RequestsPerMinute = math.Round(6000*float64(n.Admitted)/n.Seconds) / 100
	}
	if n.Seconds >= 60 {
		for i, j := 0, 0; j < len(admitted); j++ {
			for admitted[j]-admitted[i] >= 60e9 {
				i++
			}
			n.MostPerMinute = max(n.MostPerMinute, j-i+1)
		}
	}
	c.headers()
	if n.Limited && ctx.Err() == nil {
		c.retryAfter(ctx)
	}
	return n
}

// demand keeps Concurrency requests wanting for the duration. One that was
// refused asks again after a tenth of the time that it was told to wait, so
// that whatever becomes free is taken at once.
func (c *rateCheck) demand(ctx context.Context) {
	until, cancel := context.WithTimeout(ctx, c.o.Duration)
	defer cancel()
	records := make(chan *Record)
	for u := range c.o.Concurrency {
		go func() {
			for i := u; until.Err() == nil; i += c.o.Concurrency {
				r := c.ask(ctx, i)
				records <- r
				if refusedRate(r) {
					wait := max(20*time.Millisecond, min(seconds(r.RetryAfter/10), time.Second))
					sleepUntil(until, c.now()+int64(wait), c.now)
				} else if !r.OK() {
					sleepUntil(until, c.now()+int64(200*time.Millisecond), c.now)
				}
			}
			records <- nil
		}()
	}
	refused := 0
	for left := c.o.Concurrency; left > 0; {
		r := <-records
		if r == nil {
			left--
			continue
		}
		c.all = append(c.all, r)
		if refusedRate(r) {
			if refused++; refused == 1 {
				c.note("first refusal after %d requests: %s", len(c.all)-1, r.Message)
			}
		}
	}
}

// headers holds the x-ratelimit-* headers against what was admitted.
func (c *rateCheck) headers() {
	n := &c.notes
	truth := func(claim string, holds bool, format string, a ...any) {
		n.Truths = append(n.Truths, Truth{claim, holds, fmt.Sprintf(format, a...)})
	}
	limit := func(name string) (float64, bool) {
		v, err := strconv.ParseFloat(strings.TrimSpace(n.Stated[name]), 64)
		return v, err == nil
	}
	if !n.Limited {
		return
	}
	// What remains must be less than a request takes at a refusal, and never
	// below nothing. What the target counts of a prompt is known of those that
	// it admitted.
	prompt := 0
	for _, r := range c.all {
		prompt = max(prompt, r.PromptTokens)
	}
	wrong, seen, below, all, forTokens := 0, 0, 0, 0, 0
	for _, r := range c.all {
		left, err := strconv.ParseFloat(r.Limits["x-ratelimit-remaining-requests"], 64)
		tokens, terr := strconv.ParseFloat(r.Limits["x-ratelimit-remaining-tokens"], 64)
		if err != nil && terr != nil {
			continue
		}
		if all++; left < 0 || tokens < 0 {
			below++
		}
		if !refusedRate(r) {
			continue
		}
		seen++
		requests, rest := err != nil || left >= 1, terr != nil || tokens >= float64(max(prompt, r.AskedPrompt)+r.AskedOutput) && tokens > 0
		switch {
		case requests && rest:
			wrong++
		case requests:
			forTokens++
		}
	}
	// What is said of a window can be held against a whole one only.
	window := cmp.Or(c.o.Window, time.Minute)
	whole, perMinute := n.Seconds >= window.Seconds(), float64(time.Minute)/float64(window)
	near := func(got, said float64) bool { return got >= 0.9*said && got <= 1.1*said+1 }
	if said, ok := limit("x-ratelimit-limit-requests"); ok && whole {
		got, want := n.RequestsPerMinute, said*perMinute
		if n.MostPerMinute > 0 && window == time.Minute {
			got = float64(n.MostPerMinute)
		}
		if forTokens == 0 || got > want { // else what ran out is the quota of tokens
			truth(fmt.Sprintf("x-ratelimit-limit-requests: %g", said), near(got, want) || near(n.RequestsPerMinute, want), "%.4g a minute were admitted", got)
		}
	}
	if said, ok := limit("x-ratelimit-limit-tokens"); ok && whole && n.TokensPerMinute > 0.9*said*perMinute {
		truth(fmt.Sprintf("x-ratelimit-limit-tokens: %g", said), near(n.TokensPerMinute, said*perMinute), "%.5g a minute were admitted", n.TokensPerMinute)
	}
	if all > 0 {
		truth("x-ratelimit-remaining-* is never below 0", below == 0, "%d of %d answers said less", below, all)
	}
	if seen > 0 {
		truth("x-ratelimit-remaining-* is used up at a refusal", wrong == 0, "%d of %d refusals said that some was left", wrong, seen)
	}
	with := 0
	for _, r := range c.all {
		if refusedRate(r) && r.RetryAfter > 0 {
			with++
		}
	}
	truth("a refusal says Retry-After", with == n.Refused, "%d of %d did", with, n.Refused)
}

// retryAfter puts Retry-After to the test: a request after it must be
// admitted, one well before it must be refused again.
func (c *rateCheck) retryAfter(ctx context.Context) {
	late, early, tried, triedEarly := 0, 0, 0, 0
	index := 1 << 30
	for range max(1, c.o.Cycles) {
		var r *Record
		for range 100_000 {
			if r = c.ask(ctx, index); !r.OK() || ctx.Err() != nil {
				break
			}
			index++
		}
		if r == nil || !refusedRate(r) || r.RetryAfter <= 0 {
			break
		}
		at, wait := r.End, seconds(r.RetryAfter)
		if wait > 2*time.Minute {
			c.note("Retry-After is %s: too long to be tested", wait)
			break
		}
		if wait >= time.Second {
			if !sleepUntil(ctx, at+int64(wait/2), c.now) {
				return
			}
			triedEarly++
			if e := c.ask(ctx, index); e.OK() {
				early++
				index++
				// It took the place that was waited for: wait anew.
				continue
			}
		}
		if !sleepUntil(ctx, at+int64(wait)+int64(20*time.Millisecond), c.now) {
			return
		}
		tried++
		if l := c.ask(ctx, index); refusedRate(l) {
			late++
		}
		index++
	}
	if tried > 0 {
		c.notes.Truths = append(c.notes.Truths, Truth{"a request after Retry-After is admitted", late == 0, fmt.Sprintf("%d of %d were refused again", late, tried)})
	}
	if triedEarly > 0 {
		c.notes.Truths = append(c.notes.Truths, Truth{"Retry-After is no longer than needed", early == 0, fmt.Sprintf("%d of %d requests at half of it were admitted", early, triedEarly)})
	}
}

// WriteText draws what was found.
func (n *RateLimit) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %d requests offered in %.1f s: %d admitted, %d refused with 429, %d failed otherwise\n", n.Offered, n.Seconds, n.Admitted, n.Refused, n.Failed)
	if n.Limited {
		fmt.Fprintf(&b, "  burst: %d requests in %.2f s before the first refusal\n", n.Burst, n.BurstSeconds)
		fmt.Fprintf(&b, "  from then on: %.5g requests a minute, %.6g tokens a minute\n", n.RequestsPerMinute, n.TokensPerMinute)
		if n.MostPerMinute > 0 {
			fmt.Fprintf(&b, "  most in any sixty seconds: %d\n", n.MostPerMinute)
		}
	} else {
		fmt.Fprintf(&b, "  no request was refused: the limit, if there is one, is above %.5g requests a minute\n", n.RequestsPerMinute)
	}
	names := make([]string, 0, len(n.Stated))
	for k := range n.Stated {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		fmt.Fprintf(&b, "    %s: %s\n", k, n.Stated[k])
	}
	for _, t := range n.Truths {
		fmt.Fprintf(&b, "  %s %s: %s\n", map[bool]string{true: "✓", false: "✗"}[t.Holds], t.Claim, t.Seen)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// RateLimitFile is the file that a check of rate limits leaves.
const RateLimitFile = "ratelimit.json"

// WriteRateLimit writes what was found into dir, whole or not at all.
func WriteRateLimit(dir string, n *RateLimit) (string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	path := filepath.Join(dir, RateLimitFile)
	return path, reports.WriteAtomic(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(n)
	})
}
