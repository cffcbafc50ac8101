package load

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/touchstone-llm/touchstone/reports"
)

// What a client may do before its figures are not believed any more. The
// error of the client, as the canary and its own lag show it, is held against
// what is measured: it must stay below a tenth of the median time to first
// token, or 5 ms, whichever is more.
const (
	maxCPU        = 0.90 // of the cores, in the median second
	maxGCPause    = 10 * time.Millisecond
	maxOwnError   = 5 * time.Millisecond
	ownErrorShare = 0.1
)

// certify judges the client.
func certify(r *Result) Verdict {
	var why []string
	say := func(format string, a ...any) { why = append(why, fmt.Sprintf(format, a...)) }
	allowed := maxOwnError
	if m := r.Total.Metric(TTFT); m != nil {
		if p, ok := m.P(50); ok {
			allowed = max(allowed, time.Duration(ownErrorShare*float64(p.Value)))
		}
	}
	for i, c := range r.Client {
		who := ""
		if len(r.Client) > 1 {
			who = fmt.Sprintf("shard %d: ", i)
		}
		if n := len(c.CPU); n > 0 {
			s := slices.Clone(c.CPU)
			slices.Sort(s)
			if med := s[n/2]; med > maxCPU {
				say("%sCPU: %.0f %% of %d cores in the median second, more than %.0f %%", who, 100*med, c.Cores, 100*maxCPU)
			}
		}
		if p := seconds(c.GCPauseMax); p > max(maxGCPause, allowed) {
			say("%sGC: a pause of %s, more than %s", who, p.Round(time.Microsecond), max(maxGCPause, allowed))
		}
		if c.Canary != nil && c.Canary.Count >= 20 {
			if p := time.Duration(c.Canary.P99); p > allowed {
				say("%scanary: events arrive %s late at p99, more than %s", who, p.Round(10*time.Microsecond), allowed.Round(10*time.Microsecond))
			}
		}
		if c.HeldBack > 0 {
			say("%sbacklog: readers had to wait %d times for what they had read to be worked through", who, c.HeldBack)
		}
	}
	if m := r.Total.Metric(OwnLag); m != nil {
		if p, ok := m.P(99); ok && time.Duration(p.Value) > allowed {
			say("schedule lag: requests were taken up %s late at p99, more than %s", time.Duration(p.Value).Round(10*time.Microsecond), allowed.Round(10*time.Microsecond))
		}
	}
	for _, e := range r.Total.Errors {
		if e.Kind == ErrClient {
			say("%d requests failed at this machine's own limits: %s", e.Count, e.Message)
		}
	}
	if len(why) > 0 {
		return Verdict{Text: "INVALID: client-bound (" + strings.Join(why, "; ") + ")", Reasons: why}
	}
	return Verdict{Valid: true, Text: "VALID"}
}

func reportsTool(version string) reports.Tool {
	return reports.Tool{Name: "touchstone", Version: version}
}
