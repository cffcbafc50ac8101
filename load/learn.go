package load

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// ErrNothing means that a target cannot be measured: no control request was
// answered.
type ErrNothing struct{ Kind, Message string }

func (e ErrNothing) Error() string {
	return fmt.Sprintf("the control request was not answered: %s: %s", e.Kind, e.Message)
}

// Learn finds out, with a handful of requests before the run, whether the
// target answers, which optional parameters it takes, and how many tokens
// words come to. What it refuses is left out of all requests and named in the
// features.
func Learn(ctx context.Context, t Target, h HTTPOptions, timeout time.Duration, m *Mix) (Features, error) {
	s, err := newSender(t, h, timeout)
	if err != nil {
		return Features{}, err
	}
	defer s.client.CloseIdleConnections()
	s.began, s.analyst, s.finish = time.Now(), newAnalyst(), func(*reading) {}
	defer s.analyst.close()
	ask := func(q *Request) *Record {
		rec := &Record{}
		rd := s.send(ctx, q, rec, true, nil)
		<-rd.ended
		rec.Message = s.redact.clean(rec.Message)
		return rec
	}
	refused := func(r *Record) bool { return r.Status == 400 || r.Status == 422 }
	done := map[string]bool{}
	for i := range m.works {
		w := &m.works[i]
		key := fmt.Sprint(w.Route, w.NoStream, w.StopAtEOS)
		if done[key] {
			continue
		}
		done[key] = true
		control := func() *Request {
			q := &Request{Work: w, Stream: !w.NoStream, AskedOutput: 2, said: []Message{{"user", builtin[0]}}}
			if len(w.prompts) > 0 && w.prompts[0].body != nil {
				q.source = &w.prompts[0]
				q.Body = m.whole(q)
			} else {
				q.Body = m.body(q)
			}
			return q
		}
		rec := ask(control())
		for _, f := range []struct {
			name string
			on   *bool
		}{{"min_tokens", &m.features.MinTokens}, {"ignore_eos", &m.features.IgnoreEOS}, {"stream_options", &m.features.Usage}} {
			if rec.OK() || !refused(rec) || !*f.on {
				continue
			}
			said := rec.Message
			*f.on = false
			if r := ask(control()); r.OK() || strings.Contains(said, f.name) || r.Message != said {
				m.features.Dropped = append(m.features.Dropped, fmt.Sprintf("%s: refused with %d: %s", f.name, rec.Status, head(said)))
				rec = r
			} else {
				*f.on = true // it was not this one
			}
		}
		if refused(rec) { // perhaps several together
			was := m.features
			m.features.MinTokens, m.features.IgnoreEOS, m.features.Usage = false, false, false
			if r := ask(control()); r.OK() {
				m.features.Dropped = append(m.features.Dropped, fmt.Sprintf("stream_options, ignore_eos and min_tokens: refused with %d: %s", rec.Status, head(rec.Message)))
				rec = r
			} else {
				m.features = was
			}
		}
		if ctx.Err() != nil {
			return m.features, ctx.Err()
		}
		if !rec.OK() {
			return m.features, ErrNothing{rec.Error, rec.Message}
		}
		if m.token == nil && !w.PromptTokens.IsZero() || m.trace != nil && m.token == nil {
			m.calibrate(w, ask)
		}
	}
	return m.features, nil
}

// calibrate learns from usage how many tokens words come to on w's route.
func (m *Mix) calibrate(w *Work, ask func(*Request) *Record) {
	if m.sizes[w.Route] != nil {
		return
	}
	var n [2]float64
	words := [2]int{30, 150}
	for i := range n {
		var sum, count float64
		for k := range 2 {
			said := []Message{{"user", strings.Join(m.words(newRandom(m.seed, forWork, uint64(i), uint64(k), 99), words[i]), " ")}}
			if w.System != "" {
				said = append([]Message{{"system", w.System}}, said...)
			}
			q := &Request{Work: w, Stream: !w.NoStream, AskedOutput: 1, said: said}
			q.Body = m.body(q)
			if r := ask(q); r.PromptTokens > 0 {
				sum, count = sum+float64(r.PromptTokens), count+1
			}
		}
		if count == 0 {
			m.features.Dropped = append(m.features.Dropped, fmt.Sprintf("prompt lengths of route %s: usage does not tell them; taken as %g tokens a word", w.Route, defaultSize.perWord))
			return
		}
		n[i] = sum / count
	}
	if per := (n[1] - n[0]) / float64(words[1]-words[0]); per > 0.2 && per < 20 {
		m.sizes[w.Route] = &size{per, n[0] - per*float64(words[0])}
	}
}

// Features are the optional parameters that requests carry.
func (m *Mix) Features() Features { return m.features }

// Works are the kinds of work of the mix.
func (m *Mix) Works() []Work { return m.works }

// head is the begin of a long message.
func head(s string) string {
	if i := strings.IndexAny(s, ".;\n"); i > 20 {
		s = s[:i]
	}
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:120], "") + " …"
	}
	return s
}
