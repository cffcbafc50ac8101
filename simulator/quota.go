package simulator

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Quota bounds what one deployment answers. Its windows are fixed: they begin
// with the first request after the last one has ended, and what was used is
// forgotten at their end, all at once, as Azure does it.
//
// A request costs the most tokens that it may use: those of its prompt, and
// max_tokens, or the default of the route, for each candidate (n, or best_of).
// They are reserved before generation, so that no number of requests at a time
// can use more than the quota (clauses LIM-003 to LIM-005, LIM-010). A refused
// request costs nothing, but one whose prompt is filtered counts as a request
// (LIM-011, LIM-018).
type Quota struct {
	// TokensPerMinute is the most tokens in a minute; 0 is no limit.
	TokensPerMinute int `yaml:"tokens_per_minute"`
	// RequestsPerMinute is the most requests in a minute; 0 is no limit.
	RequestsPerMinute int `yaml:"requests_per_minute"`
	// Window takes the place of the minute, for tests that cannot wait for one;
	// 0 is a minute.
	Window time.Duration `yaml:"window"`
	// Smoothing splits the minute: in each window of this length only its
	// share of the requests is admitted, at least one. 0 does not split.
	Smoothing time.Duration `yaml:"smoothing"`
	// Settle replaces the reserved tokens by those that were used once a
	// request is over. Without it a reservation stands, as in Azure.
	Settle bool `yaml:"settle"`
}

// DefaultQuota is that of the source document (S:487), with Azure's smoothing.
var DefaultQuota = Quota{TokensPerMinute: 400_000, RequestsPerMinute: 1_000, Smoothing: 10 * time.Second}

func (q Quota) validate() error {
	switch {
	case q.TokensPerMinute < 0:
		return at("tokens_per_minute", fmt.Errorf("must be 0 (no limit) or more, got %d", q.TokensPerMinute))
	case q.RequestsPerMinute < 0:
		return at("requests_per_minute", fmt.Errorf("must be 0 (no limit) or more, got %d", q.RequestsPerMinute))
	case q.Window < 0 || q.Window > 0 && q.Window < time.Millisecond:
		return at("window", fmt.Errorf("must be 0 (a minute) or at least 1ms, got %s", q.Window))
	case q.Smoothing < 0 || q.Smoothing > q.window():
		return at("smoothing", fmt.Errorf("must be between 0 and %s, got %s", q.window(), q.Smoothing))
	}
	return nil
}

// unlimited says that there is nothing to count.
func (q Quota) unlimited() bool { return q.TokensPerMinute == 0 && q.RequestsPerMinute == 0 }

// window is how long one lasts.
func (q Quota) window() time.Duration { return cmp.Or(q.Window, time.Minute) }

// share is how many requests a smoothing window admits.
func (q Quota) share() int {
	return int(math.Ceil(float64(q.RequestsPerMinute) * q.Smoothing.Seconds() / q.window().Seconds()))
}

// windows are the meters of the quota.
func (q Quota) windows() []window {
	var w []window
	if q.TokensPerMinute > 0 {
		w = append(w, window{"tokens", q.TokensPerMinute, q.window(), true})
	}
	if q.RequestsPerMinute > 0 {
		w = append(w, window{"requests", q.RequestsPerMinute, q.window(), false})
		if s := q.share(); q.Smoothing > 0 && s < q.RequestsPerMinute {
			w = append(w, window{"burst", s, q.Smoothing, false})
		}
	}
	return w
}

// A window is one thing that is counted.
type window struct {
	name   string
	limit  int
	length time.Duration
	tokens bool // counts tokens, not requests
}

// lasts is its length in words.
func (w window) lasts() string {
	if w.length == time.Minute {
		return "minute"
	}
	return "window of " + w.length.String()
}

// cost of a request of that many tokens.
func (w window) cost(tokens int) int {
	if w.tokens {
		return tokens
	}
	return 1
}

// A level is what a window has used, and when it ends.
type level struct {
	used  int
	until time.Time // the zero time: it has not begun
}

// A meter counts the windows of one quota; several replicas may share one.
// Implementations are exact under concurrency.
type meter interface {
	// take adds the costs to all windows, or to none if one of them would
	// overflow: the index of the one that frees last is refused, -1 for none.
	// Levels are those after the call.
	take(ctx context.Context, windows []window, costs []int) (levels []level, refused int, err error)
	// give takes tokens back from window i, if it is the one that ends then.
	give(ctx context.Context, windows []window, i int, until time.Time, n int) error
	// look reads the levels.
	look(ctx context.Context, windows []window) ([]level, error)
}

// memory is the meter of a single process.
type memory struct {
	clock  func() time.Time
	mu     sync.Mutex
	levels map[string]level // by the window's name
}

func newMemory(clock func() time.Time) *memory {
	return &memory{clock: clock, levels: map[string]level{}}
}

// current are the levels at now; ended windows are empty.
func (m *memory) current(windows []window, now time.Time) []level {
	levels := make([]level, len(windows))
	for i, w := range windows {
		if l := m.levels[w.name]; now.Before(l.until) {
			levels[i] = l
		}
	}
	return levels
}

func (m *memory) take(_ context.Context, windows []window, costs []int) ([]level, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	levels, refused := m.current(windows, now), -1
	for i, w := range windows {
		if levels[i].used+costs[i] > w.limit && (refused < 0 || levels[i].until.After(levels[refused].until)) {
			refused = i
		}
	}
	if refused >= 0 {
		return levels, refused, nil
	}
	for i, w := range windows {
		if levels[i].until.IsZero() {
			levels[i].until = now.Add(w.length)
		}
		levels[i].used += costs[i]
		m.levels[w.name] = levels[i]
	}
	return levels, -1, nil
}

func (m *memory) give(_ context.Context, windows []window, i int, until time.Time, n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.levels[windows[i].name]
	if l.until.Equal(until) {
		l.used = max(0, l.used-n)
		m.levels[windows[i].name] = l
	}
	return nil
}

func (m *memory) look(_ context.Context, windows []window) ([]level, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current(windows, m.clock()), nil
}

// A limiter holds a deployment to its quota.
type limiter struct {
	quota   Quota
	windows []window
	meter   meter
	clock   func() time.Time
}

// newLimiter returns nil where there is no limit.
func newLimiter(q Quota, m meter, clock func() time.Time) *limiter {
	if q.unlimited() {
		return nil
	}
	return &limiter{quota: q, windows: q.windows(), meter: m, clock: clock}
}

// A reservation is what a request took from the quota.
type reservation struct {
	limiter *limiter
	levels  []level // when it was taken
	tokens  int     // reserved
}

// reserve takes one request and its tokens, or refuses it with 429. A request
// that no empty window could admit is refused with 400: to wait would not help
// (clause LIM-016).
func (l *limiter) reserve(ctx context.Context, tokens int) (*reservation, *refusal) {
	costs := make([]int, len(l.windows))
	for i, w := range l.windows {
		costs[i] = w.cost(tokens)
		if costs[i] > w.limit {
			return nil, invalid("quota_exceeded", "max_tokens", "The request may use %d tokens (its prompt, and max_tokens for each "+
				"candidate), more than the %d of a whole %s; ask for less.", tokens, w.limit, w.lasts())
		}
	}
	levels, refused, err := l.meter.take(ctx, l.windows, costs)
	switch {
	case err != nil:
		bad := refuse(http.StatusServiceUnavailable, "quota_unavailable", "The quota could not be read; try again.")
		bad.kind = "server_error"
		bad.header = http.Header{"Retry-After": {"1"}}
		return nil, bad
	case refused >= 0:
		return nil, l.tooMany(levels, refused)
	}
	return &reservation{l, levels, tokens}, nil
}

// tooMany is the 429 of a window that is full (clauses LIM-006, LIM-007,
// LIM-012). Its seconds are rounded up, so that the wait is always enough.
func (l *limiter) tooMany(levels []level, i int) *refusal {
	w, wait := l.windows[i], levels[i].until.Sub(l.clock())
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	what := "requests"
	if w.tokens {
		what = "tokens"
	}
	r := refuse(http.StatusTooManyRequests, "rate_limit_exceeded",
		"Rate limit is exceeded: %d %s in %g seconds. Try again in %d seconds.", w.limit, what, w.length.Seconds(), seconds)
	r.kind = what
	r.header = http.Header{
		"Retry-After":    {strconv.Itoa(seconds)},
		"Retry-After-Ms": {strconv.Itoa(max(1, int(math.Ceil(float64(wait)/float64(time.Millisecond)))))},
	}
	l.write(r.header, levels)
	return r
}

// write sets x-ratelimit-limit-, -remaining- and -reset- for tokens and
// requests. What remains is what the next request may still use: the least of
// the windows that count it (clause LIM-014: never below 0).
func (l *limiter) write(h http.Header, levels []level) {
	for _, q := range l.states(levels) {
		h.Set("X-Ratelimit-Limit-"+q.Of, strconv.Itoa(q.Limit))
		h.Set("X-Ratelimit-Remaining-"+q.Of, strconv.Itoa(q.Remaining))
		h.Set("X-Ratelimit-Reset-"+q.Of, time.Duration(q.Reset*float64(time.Second)).Round(time.Millisecond).String())
	}
}

// state reads what is left.
func (l *limiter) state(ctx context.Context) []QuotaState {
	levels, err := l.meter.look(ctx, l.windows)
	if err != nil {
		return []QuotaState{}
	}
	return l.states(levels)
}

func (l *limiter) states(levels []level) []QuotaState {
	var states []QuotaState
	now := l.clock()
	for _, what := range []string{"requests", "tokens"} {
		limit, left, reset := 0, math.MaxInt, time.Duration(0)
		for i, w := range l.windows {
			if w.tokens != (what == "tokens") {
				continue
			}
			if w.name != "burst" {
				limit = w.limit
			}
			if r := max(0, w.limit-levels[i].used); r < left {
				left, reset = r, max(0, levels[i].until.Sub(now))
			}
		}
		if left == math.MaxInt {
			continue
		}
		states = append(states, QuotaState{Of: what, Limit: limit, Remaining: left, Reset: reset.Seconds()})
	}
	return states
}

// write sets the headers as they are now.
func (r *reservation) write(ctx context.Context, h http.Header) {
	levels, err := r.limiter.meter.look(ctx, r.limiter.windows)
	if err != nil {
		levels = r.levels
	}
	r.limiter.write(h, levels)
}

// settle gives back the tokens that were not used, if the quota settles; the
// request stays counted. It may be called once.
func (r *reservation) settle(ctx context.Context, used int) {
	if r.limiter.quota.Settle {
		r.refund(ctx, used)
	}
}

// refund gives back all tokens but those used. A nil reservation took none.
func (r *reservation) refund(ctx context.Context, used int) {
	if r == nil {
		return
	}
	back := r.tokens - used
	if back <= 0 {
		return
	}
	for i, w := range r.limiter.windows {
		if w.tokens {
			_ = r.limiter.meter.give(ctx, r.limiter.windows, i, r.levels[i].until, back) // at worst the reservation stands
		}
	}
	r.tokens = used
}

// quota is the stage of that name.
func quota(c *call) *refusal {
	if c.limiter == nil {
		return nil
	}
	return c.reserve(c.promptTokens() + len(c.prompts)*c.values.bestOf()*c.values.maxTokens())
}

// reserve takes tokens from the quota for the call.
func (c *call) reserve(tokens int) (bad *refusal) {
	c.reserved, bad = c.limiter.reserve(c.context, tokens)
	return bad
}
