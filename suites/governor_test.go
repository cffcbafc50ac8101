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
		g.do(t.Context(), c.once, func() *exchange.Exchange {
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
