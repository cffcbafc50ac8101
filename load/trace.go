package load

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A TraceRow is one request of a recording.
type TraceRow struct {
	// At is when it came, since the first.
	At time.Duration
	// Input and Output are token lengths; 0: not recorded.
	Input, Output int
	// Prefix names the blocks of [PrefixBlock] tokens that the prompt begins
	// with, as Mooncake's hash_ids: rows that begin alike share a prefix.
	Prefix []int64
}

// PrefixBlock is how many tokens one of Mooncake's hash_ids stands for.
const PrefixBlock = 512

// Columns by the names that published traces give them, in lower case:
// Azure's LLM inference traces (TIMESTAMP, ContextTokens, GeneratedTokens),
// Mooncake's (timestamp in milliseconds, input_length, output_length,
// hash_ids), BurstGPT's (Timestamp, Request tokens, Response tokens).
var (
	atColumns     = []string{"timestamp", "arrived_at", "arrival_time", "time"}
	inputColumns  = []string{"contexttokens", "input_length", "request tokens", "num_prefill_tokens", "prompt_tokens", "input_tokens", "prompt_len"}
	outputColumns = []string{"generatedtokens", "output_length", "response tokens", "num_decode_tokens", "completion_tokens", "output_tokens", "output_len"}
)

// maxTraceRows bounds what ReadTrace keeps.
const maxTraceRows = maxArrivals

// ReadTrace reads a trace as CSV with a header, or as JSON lines. A number in
// the time column is in seconds in CSV and in milliseconds in JSON lines, as
// the published traces have it; CSV may have dates instead. Rows are put in
// order of time, and the first is at 0.
func ReadTrace(r io.Reader) ([]TraceRow, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, _ := b.Peek(512)
	var rows []TraceRow
	var err error
	if bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"), []byte("{")) {
		rows, err = traceJSONL(b)
	} else {
		rows, err = traceCSV(b)
	}
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if len(rows) == 0 {
		return nil, errors.New("trace: no rows")
	}
	slices.SortStableFunc(rows, func(a, b TraceRow) int { return int(max(-1, min(1, a.At-b.At))) })
	zero := rows[0].At
	for i := range rows {
		rows[i].At -= zero
	}
	return rows, nil
}

func traceCSV(r io.Reader) ([]TraceRow, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord, c.ReuseRecord, c.TrimLeadingSpace = -1, true, true
	header, err := c.Read()
	if err != nil {
		return nil, err
	}
	column := func(names []string) int {
		for i, h := range header {
			if slices.Contains(names, strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")))) {
				return i
			}
		}
		return -1
	}
	at, in, out := column(atColumns), column(inputColumns), column(outputColumns)
	if at < 0 {
		return nil, fmt.Errorf("no column with the time; looked for %s in %q", strings.Join(atColumns, ", "), header)
	}
	var rows []TraceRow
	for line := 2; ; line++ {
		f, err := c.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if len(f) <= max(at, in, out) {
			return nil, fmt.Errorf("line %d: %d fields, the header has %d", line, len(f), len(header))
		}
		var row TraceRow
		if row.At, err = traceTime(f[at], time.Second); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		for i, to := range map[int]*int{in: &row.Input, out: &row.Output} {
			if i < 0 {
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(f[i]), 64)
			if err != nil || !(v >= 0) || v > 1e9 {
				return nil, fmt.Errorf("line %d: %s: %q is no token length", line, header[i], f[i])
			}
			*to = int(v)
		}
		if rows = append(rows, row); len(rows) > maxTraceRows {
			return nil, fmt.Errorf("more than %d rows", maxTraceRows)
		}
	}
}

func traceJSONL(r io.Reader) ([]TraceRow, error) {
	d := json.NewDecoder(r)
	var rows []TraceRow
	for n := 1; ; n++ {
		var m map[string]json.RawMessage
		if err := d.Decode(&m); err == io.EOF {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
		find := func(names []string) (json.RawMessage, string) {
			for k, v := range m {
				if slices.Contains(names, strings.ToLower(k)) {
					return v, k
				}
			}
			return nil, ""
		}
		var row TraceRow
		raw, _ := find(atColumns)
		if raw == nil {
			return nil, fmt.Errorf("row %d: no member with the time; looked for %s", n, strings.Join(atColumns, ", "))
		}
		var err error
		if row.At, err = traceTime(strings.Trim(string(raw), `"`), time.Millisecond); err != nil {
			return nil, fmt.Errorf("row %d: %w", n, err)
		}
		for _, c := range []struct {
			names []string
			to    *int
		}{{inputColumns, &row.Input}, {outputColumns, &row.Output}} {
			raw, name := find(c.names)
			if raw == nil {
				continue
			}
			v, err := strconv.ParseFloat(string(raw), 64)
			if err != nil || !(v >= 0) || v > 1e9 {
				return nil, fmt.Errorf("row %d: %s: %s is no token length", n, name, raw)
			}
			*c.to = int(v)
		}
		if raw, ok := m["hash_ids"]; ok {
			if err := json.Unmarshal(raw, &row.Prefix); err != nil {
				return nil, fmt.Errorf("row %d: hash_ids: %w", n, err)
			}
		}
		if rows = append(rows, row); len(rows) > maxTraceRows {
			return nil, fmt.Errorf("more than %d rows", maxTraceRows)
		}
	}
}

// traceTime reads a number of units, or a date, as a duration since a point
// that is the same for all rows.
func traceTime(s string, unit time.Duration) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		if d := v * float64(unit); !math.IsNaN(d) && math.Abs(d) < math.MaxInt64/2 {
			return time.Duration(math.Round(d)), nil
		}
		return 0, fmt.Errorf("time %q is out of range", s)
	}
	for _, layout := range []string{"2006-01-02 15:04:05", time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil { // a fraction is read too
			if y := t.Year(); y < 1970 || y > 2200 {
				return 0, fmt.Errorf("time %q is out of range", s)
			}
			return time.Duration(t.UnixNano()), nil
		}
	}
	return 0, fmt.Errorf("time %q: want a number, or a date as in 2023-11-16 18:15:46.68", s)
}

// Speed plays rows factor times as fast.
func Speed(rows []TraceRow, factor float64) []TraceRow {
	out := slices.Clone(rows)
	for i := range out {
		out[i].At = time.Duration(float64(out[i].At) / factor)
	}
	return out
}
