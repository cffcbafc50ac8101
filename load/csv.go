package load

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteCSV writes one line a request. Latencies are in milliseconds, times in
// seconds since the run's begin; what is not defined is empty.
func WriteCSV(w io.Writer, records []*Record) error {
	c := csv.NewWriter(w)
	c.Write([]string{"index", "stage", "work", "turn", "warmup", "intended_s", "sent_s", "end_s", "status", "error", "finish_reason", "prompt_tokens",
		"output_tokens", "token_source", "chunks", "ttft_ms", "ttft_from_schedule_ms", "tpot_ms", "e2e_ms", "e2e_from_schedule_ms", "schedule_lag_ms",
		"connect_ms", "reused", "retry_after_s", "flags", "message"})
	sec := func(ns int64) string {
		if ns == 0 {
			return ""
		}
		return strconv.FormatFloat(float64(ns)/1e9, 'f', 6, 64)
	}
	ms := func(ns int64, ok bool) string {
		if !ok {
			return ""
		}
		return strconv.FormatFloat(float64(ns)/1e6, 'f', 3, 64)
	}
	for _, r := range records {
		n, source := r.Tokens()
		connect := r.DNS + r.Connect + r.TLS
		retry := ""
		if r.RetryAfter > 0 {
			retry = strconv.FormatFloat(r.RetryAfter, 'g', -1, 64)
		}
		c.Write([]string{strconv.Itoa(r.Index), strconv.Itoa(r.Stage), cellText(r.Work), strconv.Itoa(r.Turn), fmt.Sprint(r.Warmup), sec(r.Intended), sec(r.Sent), sec(r.End),
			strconv.Itoa(r.Status), r.Error, cellText(r.FinishReason), strconv.Itoa(r.PromptTokens), strconv.Itoa(n), source, strconv.Itoa(r.Chunks), ms(r.TTFT()),
			ms(r.TTFTFromSchedule()), ms(r.TPOT()), ms(r.E2E()), ms(r.E2EFromSchedule()), ms(r.Lag()), ms(connect, connect > 0), fmt.Sprint(r.Reused), retry,
			strings.Join(r.Flags, " "), cellText(r.Message)})
	}
	c.Flush()
	return c.Error()
}

// cellText keeps a spreadsheet from taking what a target wrote for a formula.
func cellText(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
