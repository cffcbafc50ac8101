package suites

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/touchstone-llm/touchstone/exchange"
)

func busy(status int, after string) *exchange.Exchange {
	h := http.Header{}
	if after != "" {
		h.Set("Retry-After", after)
	}
	return &exchange.Exchange{Response: &exchange.Response{Status: status, Header: h}}
}

func TestGovernorComesBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		first *exchange.Exchange
		once  bool
		sends int
		slept time.Duration
	}{
		{"answered", busy(200, ""), false, 1, 0},
		{"429 with seconds", busy(429, "3"), false, 2, 3 * time.Second},
		{"429 without", busy(429, ""), false, 2, time.Second},
		{"429 with nonsense", busy(429, "soon"), false, 2, time.Second},
		{"429 too long", busy(429, "9000"), false, 2, maxPause},
		{"429 kept as the answer", busy(429, "3"), true, 1, 0},
		{"503 that says when", busy(503, "2"), false, 2, 2 * time.Second},
		{"503 that does not", busy(503, ""), false, 1, 0},
		{"an idle connection that was closed", &exchange.Exchange{Reused: true, Error: "EOF"}, false, 2, 0},
		{"a new connection that was closed", &exchange.Exchange{Error: "EOF"}, false, 2, 0},
		{"a timeout", &exchange.Exchange{Error: "timeout: no response"}, false, 1, 0},
	} {
		g := newGovernor(1, Budget{})
		var slept time.Duration
		g.sleep = func(_ context.Context, d time.Duration) { slept += d }
		sends := 0
		g.do(t.Context(), c.once, true, func() *exchange.Exchange {
			sends++
			if sends == 1 {
				return c.first
			}
			return busy(200, "")
		})
		if sends != c.sends || slept != c.slept {
			t.Errorf("%s: %d sends, slept %s; want %d and %s", c.name, sends, slept, c.sends, c.slept)
		}
	}
}

// What is sent again counts as a request, and a spent budget ends it.
func TestGovernorCountsWhatIsSentAgain(t *testing.T) {
	g := newGovernor(1, Budget{Requests: 3})
	g.sleep = func(context.Context, time.Duration) {}
	sends := 0
	ask := func(x *exchange.Exchange) *exchange.Exchange {
		return g.do(t.Context(), false, true, func() *exchange.Exchange { sends++; return x })
	}
	if x := ask(busy(429, "1")); x.Response == nil || sends != 3 {
		t.Errorf("%d sends of one that is refused for load, want the whole budget of 3", sends)
	}
	if x := ask(busy(200, "")); x.Error != "the budget of 3 requests is spent" || sends != 3 {
		t.Errorf("%q after %d sends", x.Error, sends)
	}
}

// A run keeps below the stated quota: each request waits its turn.
func TestGovernorKeepsQuota(t *testing.T) {
	for name, c := range map[string]struct {
		budget Budget
		tokens int // of each answer
		every  time.Duration
	}{
		"60 requests a minute":       {Budget{RequestsPerMinute: 60}, 5, time.Second},
		"600 tokens a minute":        {Budget{TokensPerMinute: 600}, 20, 2 * time.Second},
		"both, and tokens are dear":  {Budget{RequestsPerMinute: 60, TokensPerMinute: 600}, 20, 3 * time.Second},
		"no quota, so nothing waits": {Budget{}, 20, 0},
	} {
		g := newGovernor(1, c.budget)
		var slept []time.Duration
		g.sleep = func(_ context.Context, d time.Duration) { slept = append(slept, d) } // time stands still
		for range 4 {
			g.spend(t.Context(), true)
			g.spent(c.tokens)
		}
		if c.every == 0 {
			if len(slept) > 0 {
				t.Errorf("%s: slept %v", name, slept)
			}
			continue
		}
		if len(slept) != 3 {
			t.Errorf("%s: slept %v, want a wait before each request but the first", name, slept)
			continue
		}
		for i, d := range slept {
			if want := time.Duration(i+1) * c.every; d > want || d < want-time.Second/2 {
				t.Errorf("%s: request %d waits %s, want %s", name, i+2, d, want)
			}
		}
	}
}

func TestStopSlices(t *testing.T) {
	for _, c := range []struct{ answer, stop string }{
		{"", ""},
		{"short", ""},
		{"aaaaaaaaaaaaaaaaaaaaaaaa", ""},
		{"the quick brown fox jumps over the lazy dog again", "own fox"},
		{"안녕하세요 친구 여러분 오늘은 좋은 날입니다 그렇지요", "구 여"},
	} {
		if got := stopSlice(c.answer); got != c.stop {
			t.Errorf("stopSlice(%q) = %q, want %q", c.answer, got, c.stop)
		}
	}
	for answer, last := range map[string]string{"short": "ort", "aaaaaaaa": "", "안녕하세요": "요", "one two one two": " one two"} {
		if got := lastSlice(answer); got != last {
			t.Errorf("lastSlice(%q) = %q, want %q", answer, got, last)
		}
	}
}
