package suites

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/touchstone-llm/touchstone/exchange"
	"github.com/touchstone-llm/touchstone/schemas"
)

// A body is a request body but for the prompt, which the route decides.
type body map[string]any

// A session is one run against one target: it sends, records and remembers.
type session struct {
	target Target
	opts   Options
	client *exchange.Client
	gov    *governor
	facts  map[schemas.Route]*Facts

	mu     sync.Mutex
	sent   map[string]int // requests by probe, for ids
	record []*reply
}

func newSession(t Target, o Options) (*session, error) {
	client, err := exchange.NewClient(exchange.Options{
		BaseURL:   t.BaseURL,
		Key:       t.Key,
		Header:    t.Header,
		UserAgent: "touchstone/" + o.Version,
		Timeout:   o.Timeout,
	})
	if err != nil {
		return nil, configError("%v", err)
	}
	return &session{
		target: t, opts: o, client: client, gov: newGovernor(o.Concurrency),
		facts: map[schemas.Route]*Facts{}, sent: map[string]int{},
	}, nil
}

// prompt returns b with the prompt of a route: `prompt`, or `messages` with
// one user turn.
func (b body) prompt(route schemas.Route, text string) body {
	out := body{}
	for k, v := range b {
		out[k] = v
	}
	if route == schemas.Chat {
		out["messages"] = []map[string]string{{"role": "user", "content": text}}
	} else {
		out["prompt"] = text
	}
	return out
}

// post sends one request and records what came back. once keeps a 429 as the
// answer; otherwise the governor waits and sends again.
func (s *session) post(ctx context.Context, route schemas.Route, probe string, b body, once bool, opts ...exchange.Option) *reply {
	return s.sendAs(ctx, s.gov.do, route, probe, b, once, opts...)
}

// postAlone is post for a caller that holds the floor.
func (s *session) postAlone(ctx context.Context, route schemas.Route, probe string, b body, opts ...exchange.Option) *reply {
	return s.sendAs(ctx, s.gov.persist, route, probe, b, false, opts...)
}

type manner func(ctx context.Context, once bool, send func() *exchange.Exchange) *exchange.Exchange

func (s *session) sendAs(ctx context.Context, do manner, route schemas.Route, probe string, b body, once bool, opts ...exchange.Option) *reply {
	if _, set := b["model"]; !set && s.target.Model != "" {
		b["model"] = s.target.Model
	}
	raw, err := json.Marshal(b)
	if err != nil { // bodies are ours: only a programming error gets here
		panic(fmt.Sprintf("probe %s: %v", probe, err))
	}
	s.mu.Lock()
	s.sent[probe+string(route)]++
	id := fmt.Sprintf("%s.%s#%d", route, probe, s.sent[probe+string(route)])
	s.mu.Unlock()
	x := do(ctx, once, func() *exchange.Exchange {
		return s.client.Do(ctx, id, exchange.Request{Method: http.MethodPost, Path: paths[route], Body: raw}, opts...)
	})
	r := newReply(route, probe, x)
	s.mu.Lock()
	s.record = append(s.record, r)
	s.mu.Unlock()
	return r
}

// replies returns what was recorded on a route so far, in the order in which
// the answers came.
func (s *session) replies(route schemas.Route) []*reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*reply
	for _, r := range s.record {
		if r.route == route {
			out = append(out, r)
		}
	}
	return out
}
