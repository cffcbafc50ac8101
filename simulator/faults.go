package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A Fault is something that goes wrong as in real life. Unlike a [Defect] it
// happens to some requests: with a probability, or a number of times.
type Fault struct {
	// Kind is one of FaultKinds.
	Kind string `yaml:"kind" json:"kind"`
	// Probability is how often it happens, in (0, 1]; 0 is always.
	Probability float64 `yaml:"probability" json:"probability,omitempty"`
	// Count is how many requests it happens to; 0 is no limit.
	Count int `yaml:"count" json:"count,omitempty"`
	// After is where in an answer it happens: the number of writes that go
	// through (chunks of a stream, 0 of another answer). It is for reset-mid,
	// stall and truncated.
	After int `yaml:"after" json:"after,omitempty"`
	// Delay is how long stall and slow-first-byte last, and, in seconds, what
	// Retry-After of unavailable and busy says; 0 is 5 s, a stall without end, and 1 s.
	Delay time.Duration `yaml:"delay" json:"delay,omitempty"`
}

// FaultKinds are the faults that there are, and what each does.
var FaultKinds = map[string]string{
	"error":              "answers 500",
	"unavailable":        "answers 503 with Retry-After",
	"busy":               "answers 429 with Retry-After",
	"reset":              "resets the connection before a byte of the answer",
	"reset-mid":          "resets the connection in the middle of the answer",
	"stall":              "stops in the middle of the answer, for a while or until the client goes",
	"slow-first-byte":    "waits before the first byte",
	"truncated":          "ends the answer in the middle of its JSON, as if that were all",
	"wrong-content-type": "labels the answer text/html",
}

func (f Fault) validate() error {
	switch {
	case FaultKinds[f.Kind] == "":
		return at("kind", fmt.Errorf("must be one of %s, got %q", strings.Join(faultNames(), ", "), f.Kind))
	case !(f.Probability >= 0 && f.Probability <= 1):
		return at("probability", fmt.Errorf("must be in [0, 1], got %g", f.Probability))
	case f.Count < 0:
		return at("count", fmt.Errorf("must be 0 (no limit) or more, got %d", f.Count))
	case f.After < 0:
		return at("after", fmt.Errorf("must be 0 or more, got %d", f.After))
	case f.Delay < 0 || f.Delay > time.Hour:
		return at("delay", fmt.Errorf("must be between 0 and an hour, got %s", f.Delay))
	}
	return nil
}

func faultNames() []string {
	return []string{"error", "unavailable", "busy", "reset", "reset-mid", "stall", "slow-first-byte", "truncated", "wrong-content-type"}
}

// UnmarshalJSON reads a fault strictly; a delay is text such as "2s".
func (f *Fault) UnmarshalJSON(b []byte) error {
	type plain Fault
	var p struct {
		plain
		Delay string `json:"delay"`
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return err
	}
	*f = Fault(p.plain)
	if p.Delay != "" {
		var err error
		if f.Delay, err = time.ParseDuration(p.Delay); err != nil {
			return fmt.Errorf("delay: %w", err)
		}
	}
	return f.validate()
}

// MarshalJSON writes what UnmarshalJSON reads.
func (f Fault) MarshalJSON() ([]byte, error) {
	type plain Fault
	p := struct {
		plain
		Delay string `json:"delay,omitempty"`
	}{plain: plain(f)}
	if f.Delay > 0 {
		p.Delay = f.Delay.String()
	}
	return json.Marshal(p)
}

// faults are those of a deployment, with what is left of their counts.
type faults struct {
	list []Fault
	left []atomic.Int64
}

func newFaults(list []Fault) *faults {
	f := &faults{list: list, left: make([]atomic.Int64, len(list))}
	for i := range list {
		f.left[i].Store(int64(list[i].Count))
	}
	return f
}

// draw returns the fault that happens to the next request, if any: the first
// that is due.
func (f *faults) draw(random func() float64) (Fault, bool) {
	for i, x := range f.list {
		if x.Probability > 0 && random() >= x.Probability {
			continue
		}
		if x.Count > 0 && f.left[i].Add(-1) < 0 {
			continue
		}
		return x, true
	}
	return Fault{}, false
}

// headerFault asks for a fault in one request, where the server allows it:
// KIND, KIND; after=3, KIND; delay=2s.
const headerFault = "X-Touchstone-Fault"

func parseFault(header string) (Fault, error) {
	parts := strings.Split(header, ";")
	f := Fault{Kind: strings.TrimSpace(parts[0])}
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		var err error
		switch name {
		case "after":
			f.After, err = strconv.Atoi(value)
		case "delay":
			f.Delay, err = time.ParseDuration(value)
		default:
			err = errors.New("there are after and delay")
		}
		if err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
	}
	return f, f.validate()
}

// faultOf is the fault of a call: that of its header, or of its deployment.
func (c *call) faultOf() (Fault, bool, *refusal) {
	if h := first(c.header, headerFault); h != "" && c.server.faultHeader {
		f, err := parseFault(h)
		if err != nil {
			return f, false, invalid(codeHeader, headerFault, "%s: %s.", headerFault, err)
		}
		return f, true, nil
	}
	f, due := c.deployment.faults.Load().draw(rand.Float64)
	return f, due, nil
}

// strike lets a fault happen: it returns the writer through which the answer
// goes on, or nil if the call is over.
func (c *call) strike(f Fault, w http.ResponseWriter) http.ResponseWriter {
	c.log.Info("fault", "kind", f.Kind, "deployment", c.deployment.name)
	c.server.metrics.fault(c.deployment, f.Kind)
	switch f.Kind {
	case "error":
		c.dialect.writeRefusal(w, internal())
		return nil
	case "unavailable":
		r := refuse(http.StatusServiceUnavailable, "unavailable", "The service is temporarily unable to answer. Try again.")
		r.kind = "server_error"
		r.header = http.Header{"Retry-After": {strconv.Itoa(max(1, int(f.Delay.Seconds())))}}
		c.dialect.writeRefusal(w, r)
		return nil
	case "busy":
		r := refuse(http.StatusTooManyRequests, "rate_limit_exceeded", "The service has too much to do. Try again.")
		r.kind = "rate_limit_error"
		r.header = http.Header{"Retry-After": {strconv.Itoa(max(1, int(f.Delay.Seconds())))}}
		c.dialect.writeRefusal(w, r)
		return nil
	case "reset":
		panic(http.ErrAbortHandler)
	case "slow-first-byte":
		if f.Delay == 0 {
			f.Delay = 5 * time.Second
		}
		c.server.wait(c.context.Done(), f.Delay)
		return w
	}
	return &faulty{ResponseWriter: w, call: c, fault: f}
}

// faulty writes until its fault happens.
type faulty struct {
	http.ResponseWriter
	call   *call
	fault  Fault
	writes int
	begun  bool
	cut    bool
}

func (w *faulty) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *faulty) WriteHeader(status int) {
	switch w.fault.Kind {
	case "wrong-content-type":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	case "truncated", "reset-mid", "stall":
		w.Header().Del("Content-Length")
	}
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *faulty) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.cut {
		return len(b), nil
	}
	w.writes++
	if w.writes <= w.fault.After || w.fault.Kind == "wrong-content-type" {
		return w.ResponseWriter.Write(b)
	}
	if _, err := w.ResponseWriter.Write(b[:len(b)/2]); err != nil {
		return 0, err
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	switch w.fault.Kind {
	case "truncated":
		w.cut = true
		return len(b), nil
	case "stall":
		if w.fault.Delay == 0 {
			<-w.call.context.Done()
			return 0, errors.New("stalled")
		}
		w.call.server.wait(w.call.context.Done(), w.fault.Delay)
		w.writes = -1 << 40 // once
		n, err := w.ResponseWriter.Write(b[len(b)/2:])
		return len(b)/2 + n, err
	}
	panic(http.ErrAbortHandler)
}
