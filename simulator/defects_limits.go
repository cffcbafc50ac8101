package simulator

import (
	"context"
	"io"
	"maps"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// limitDefects break the areas LIM and TOO, as far as those are shown on
// llama-v1. Those of a quota act where there is one.
var limitDefects = []Defect{
	{
		Name:     "ratelimit-negative",
		Sentence: "x-ratelimit-remaining-requests falls below 0.",
		Stage:    "wire",
		Clauses:  []string{"LIM-014"},
		Seen:     "mastra#10310",
		arm: headers(func(_ *call, h http.Header) {
			h.Set("X-Ratelimit-Limit-Requests", "1000")
			h.Set("X-Ratelimit-Remaining-Requests", "-3")
		}),
	},
	{
		Name:     "quota-counts-tokens-only",
		Sentence: "The quota counts tokens, and no requests.",
		Stage:    "quota",
		Clauses:  []string{"LIM-001", "LIM-010", "LIM-018"},
		arm:      otherQuota(func(q Quota) Quota { q.RequestsPerMinute = 0; return q }),
	},
	{
		Name:     "quota-counts-requests-only",
		Sentence: "The quota counts requests, and no tokens.",
		Stage:    "quota",
		Clauses:  []string{"LIM-003", "LIM-004", "LIM-005", "LIM-016"},
		arm:      otherQuota(func(q Quota) Quota { q.TokensPerMinute = 0; return q }),
	},
	{
		Name:     "quota-one-less",
		Sentence: "A window admits one request less than the limit.",
		Stage:    "quota",
		Clauses:  []string{"LIM-002"},
		arm:      otherQuota(func(q Quota) Quota { q.RequestsPerMinute--; return q }),
	},
	{
		Name:     "quota-large-is-free",
		Sentence: "Answers of more than half of the quota's tokens cost none.",
		Stage:    "quota",
		Clauses:  []string{"LIM-003", "LIM-005"},
		arm: costing(func(c *call, q Quota) int {
			if most := c.values.maxTokens(); most > q.TokensPerMinute/2 && most <= q.TokensPerMinute {
				return 0
			}
			return -1
		}),
	},
	{
		Name:     "quota-prompt-is-free",
		Sentence: "The tokens of prompts are not counted.",
		Stage:    "quota",
		Clauses:  []string{"LIM-004"},
		arm:      costing(func(c *call, _ Quota) int { return c.values.bestOf() * c.values.maxTokens() }),
	},
	{
		Name:     "quota-n-counts-once",
		Sentence: "n choices count as one.",
		Stage:    "quota",
		Clauses:  []string{"LIM-005"},
		arm:      costing(func(c *call, _ Quota) int { return c.promptTokens() + c.values.maxTokens() }),
	},
	{
		Name:     "retry-after-missing",
		Sentence: "429 does not say when to come back.",
		Stage:    "wire",
		Clauses:  []string{"LIM-006"},
		arm: tooManyAs(func(_ *call, _ http.ResponseWriter, r *refusal) bool {
			r.header.Del("Retry-After")
			r.header.Del("Retry-After-Ms")
			return false
		}),
	},
	{
		Name:     "retry-after-too-soon",
		Sentence: "429 says to come back in a millisecond, whenever the window ends.",
		Stage:    "wire",
		Clauses:  []string{"LIM-007"},
		arm: tooManyAs(func(_ *call, _ http.ResponseWriter, r *refusal) bool {
			r.header.Del("Retry-After")
			r.header.Set("Retry-After-Ms", "1")
			return false
		}),
	},
	{
		Name:     "quota-of-all",
		Sentence: "A request is refused while the quota of another deployment is exhausted.",
		Stage:    "quota",
		Clauses:  []string{"LIM-008"},
		arm: before("quota", func(c *call) {
			for _, d := range c.deployment.front.deployments {
				if c.limiter != nil || d.limiter == nil || c.values.maxTokens() != 3 {
					continue
				}
				for _, s := range d.limiter.state(c.context) {
					if s.Of == "requests" && s.Remaining == 0 {
						c.limiter = d.limiter
					}
				}
			}
		}),
	},
	{
		Name:     "quota-per-key",
		Sentence: "Each key of an endpoint has a quota of its own.",
		Stage:    "quota",
		Clauses:  []string{"LIM-009"},
		arm: func() arming {
			var mu sync.Mutex
			meters := map[string]meter{}
			return before("quota", func(c *call) {
				if c.limiter == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				key := c.header.Get("Authorization")
				if meters[key] == nil {
					meters[key] = newMemory(c.server.clock)
				}
				c.limiter = &limiter{c.limiter.quota, c.limiter.windows, meters[key], c.limiter.clock}
			})()
		},
	},
	{
		Name:     "quota-races",
		Sentence: "Requests that come at the same time do not see each other in the quota.",
		Stage:    "quota",
		Clauses:  []string{"LIM-001", "LIM-010"},
		arm: before("quota", func(c *call) {
			if c.limiter != nil {
				c.limiter = &limiter{c.limiter.quota, c.limiter.windows, racing{c.limiter.meter, c}, c.limiter.clock}
			}
		}),
	},
	{
		Name:     "quota-counts-refused",
		Sentence: "A request of a wrong form counts against the quota.",
		Stage:    "decode",
		Clauses:  []string{"LIM-011"},
		arm: always(func(c *call) {
			c.hooks.on("decode", func(c *call) *refusal {
				if c.limiter != nil && gjson.GetBytes(c.body, "temperature").Type == gjson.String {
					_, _ = c.limiter.reserve(c.context, 1)
				}
				return nil
			})
		}),
	},
	{
		Name:     "quota-429-without-message",
		Sentence: "429 has a body of its own form, without a message.",
		Stage:    "wire",
		Clauses:  []string{"LIM-012"},
		arm: tooManyAs(func(c *call, w http.ResponseWriter, r *refusal) bool {
			maps.Copy(w.Header(), r.header)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(r.status)
			_, _ = io.WriteString(w, `{"reason":"slow down"}`)
			return true
		}),
	},
	{
		Name:     "quota-429-in-stream",
		Sentence: "With stream 429 is sent as an event.",
		Stage:    "wire",
		Clauses:  []string{"LIM-013"},
		arm: tooManyAs(func(c *call, w http.ResponseWriter, r *refusal) bool {
			if !c.values.flag("stream") {
				return false
			}
			maps.Copy(w.Header(), r.header)
			w.Header().Set("Content-Type", eventStream)
			w.WriteHeader(r.status)
			_, _ = w.Write(appendEvent(nil, c.dialect.refusals.append(nil, r)))
			return true
		}),
	},
	{
		Name:     "quota-window-doubled",
		Sentence: "A window of the quota lasts twice as long as it should.",
		Stage:    "quota",
		Clauses:  []string{"LIM-015"},
		arm:      otherQuota(func(q Quota) Quota { q.Window = 2 * q.window(); return q }),
	},
	{
		Name:     "quota-admits-what-never-fits",
		Sentence: "A request of more tokens than the quota is answered.",
		Stage:    "quota",
		Clauses:  []string{"LIM-016"},
		arm: before("quota", func(c *call) {
			if c.limiter != nil && c.values.bestOf() == 1 && c.values.maxTokens() > c.limiter.quota.TokensPerMinute && c.limiter.quota.TokensPerMinute > 0 {
				c.limiter = nil
			}
		}),
	},
	{
		Name:     "quota-filtered-is-free",
		Sentence: "A filtered prompt counts as no request.",
		Stage:    "safety",
		Clauses:  []string{"LIM-018"},
		arm: filteredAs(func(c *call, _ http.ResponseWriter, _ *refusal) bool {
			if l := c.limiter; l != nil && c.reserved != nil {
				for i, w := range l.windows {
					if !w.tokens {
						_ = l.meter.give(c.context, l.windows, i, c.reserved.levels[i].until, 1)
					}
				}
			}
			return false
		}),
	},
	{
		Name:     "tools-500",
		Sentence: "tools on the chat route of llama-v1 are answered with 500.",
		Stage:    "type",
		Clauses:  []string{"TOO-015", "ERR-009"},
		arm: always(func(c *call) {
			c.hooks.on("decode", func(c *call) *refusal {
				if c.route.name == "chat" && c.dialect == &llamaV1 && strings.Contains(string(c.body), `"get_weather"`) {
					return internal()
				}
				return nil
			})
		}),
	},
}

// otherQuota holds calls to another quota than their deployment's.
func otherQuota(f func(Quota) Quota) func() arming {
	return func() arming {
		var once sync.Once
		var other *limiter
		return before("quota", func(c *call) {
			if c.limiter == nil {
				return
			}
			once.Do(func() {
				other = newLimiter(f(c.limiter.quota), newMemory(c.server.clock), c.server.clock)
			})
			c.limiter = other
		})()
	}
}

// costing makes a call cost other tokens than it should, if f is not below 0.
func costing(f func(*call, Quota) int) func() arming {
	return func() arming {
		return func(c *call) {
			c.hooks.on("quota", func(c *call) *refusal {
				if c.limiter == nil {
					return nil
				}
				tokens := f(c, c.limiter.quota)
				if tokens < 0 {
					return nil
				}
				bad := c.reserve(tokens)
				c.limiter = nil // it has been asked
				return bad
			})
		}
	}
}

// tooManyAs replaces the sending of 429, if f returns true.
func tooManyAs(f func(*call, http.ResponseWriter, *refusal) bool) func() arming {
	return always(func(c *call) {
		c.hooks.refuse = append(c.hooks.refuse, func(c *call, w http.ResponseWriter, r *refusal) bool {
			return r.status == http.StatusTooManyRequests && f(c, w, r)
		})
	})
}

// racing is a meter that looks, waits, and counts what it saw before.
type racing struct {
	meter
	call *call
}

func (m racing) take(ctx context.Context, windows []window, costs []int) ([]level, int, error) {
	levels, err := m.look(ctx, windows)
	if err != nil {
		return levels, -1, err
	}
	for i, w := range windows {
		if levels[i].used+costs[i] > w.limit {
			return levels, i, nil
		}
	}
	pause(m.call, 150*time.Millisecond)
	free := make([]window, len(windows))
	for i, w := range windows {
		free[i] = w
		free[i].limit = math.MaxInt
	}
	return m.meter.take(ctx, free, costs)
}
