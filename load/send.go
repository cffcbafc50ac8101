package load

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"
)

// A sender sends requests and turns what comes back into records.
type sender struct {
	target  Target
	urls    map[string]string // by route
	header  http.Header
	client  roundTripper
	began   time.Time // that all times count from
	timeout time.Duration
	maxBody int64
	analyst *analyst
	redact  *redactor
	count   func(text []byte) int
	live    *Live
	finish  func(*reading)
}

const (
	defaultTimeout = 10 * time.Minute
	bodyLimit      = 4 << 30
	lingerTime     = 2 * time.Second
	refusalLimit   = 64 << 10 // bytes of a refusal that are read
)

func (s *sender) now() int64 { return int64(time.Since(s.began)) }

func newSender(t Target, o HTTPOptions, timeout time.Duration) (*sender, error) {
	tr, err := newTransport(o, t.URL)
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	s := &sender{target: t, client: tr, timeout: timeout, maxBody: bodyLimit, urls: map[string]string{}, redact: &redactor{key: t.Key},
		header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"touchstone-load"}}}
	for _, route := range []string{Chat, Completions} {
		if s.urls[route], err = t.url(route); err != nil {
			return nil, err
		}
	}
	if strings.ContainsAny(t.Key, "\r\n\x00") {
		return nil, errors.New("key: holds a line break or NUL")
	}
	maps.Copy(s.header, t.Header)
	if t.Key != "" && t.KeyHeader != "" {
		s.header.Set(t.KeyHeader, t.Key)
	} else if t.Key != "" {
		s.header.Set("Authorization", "Bearer "+t.Key)
	}
	return s, nil
}

// send sends one request, unless it is started, and reads its response. The
// record is complete when the analyst has called finish with the reading; if
// wantText is set, the reading's ended is closed then.
func (s *sender) send(ctx context.Context, q *Request, rec *Record, wantText bool, begun *started) *reading {
	rd := &reading{rec: rec, wantText: wantText || s.count != nil, count: s.count, finish: s.finish}
	if wantText {
		rd.ended = make(chan struct{})
	}
	tl := timeline{now: s.now}
	if begun != nil {
		rec.Begun = begun.at
		tl.sent.Store(begun.at)
	} else {
		rec.Begun = s.now()
	}
	rec.Work, rec.Stream, rec.Turn = q.Work.Name, q.Stream, q.Turn
	rec.AskedPrompt, rec.AskedOutput = q.AskedPrompt, q.AskedOutput
	s.live.begin()

	ctx, cancel := context.WithCancelCause(ctx)
	deadline := time.AfterFunc(s.timeout, func() { cancel(errTimeout) })
	err := s.roundTrip(httptrace.WithClientTrace(ctx, tl.trace()), cancel, q, rec, rd, &tl, begun)
	deadline.Stop()
	if rec.End == 0 {
		rec.End = s.now()
	}
	cause := context.Cause(ctx)
	switch {
	case err == nil:
	case errors.Is(cause, errLinger):
		rec.Flags = append(rec.Flags, flagOpen)
		rec.End = rd.doneAt
	case rec.Error == "":
		rec.Error = errorKind(err, cause)
		rec.Message = clip(strings.TrimPrefix(err.Error(), "net/http: "))
		if rec.Error == ErrTimeout {
			rec.Message = fmt.Sprintf("over the limit of %s", s.timeout)
		}
		if rec.Headers > 0 && rec.Error == ErrReset {
			rec.Error = ErrTruncated
			rec.Message = "the body broke off: " + rec.Message
		}
	}
	cancel(nil)
	s.live.end()
	s.analyst.put(rd, nil)
	return rd
}

func (s *sender) request(ctx context.Context, q *Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[q.Work.Route], bytes.NewReader(q.Body))
	if err == nil {
		req.Header = s.header
	}
	return req, err
}

// head is what goes before the body, nil if it cannot be said.
func (s *sender) head(q *Request) []byte {
	var b bytes.Buffer
	req, err := s.request(context.Background(), q)
	if err == nil {
		err = req.Write(&b)
	}
	if err != nil {
		return nil
	}
	return bytes.Clone(b.Bytes()[:b.Len()-len(q.Body)])
}

func (s *sender) roundTrip(ctx context.Context, cancel context.CancelCauseFunc, q *Request, rec *Record, rd *reading, tl *timeline, begun *started) error {
	req, err := s.request(ctx, q)
	if err != nil {
		return err
	}
	var resp *http.Response
	if begun != nil {
		resp, err = begun.goOn(req)
	} else {
		resp, err = s.client.RoundTrip(req)
	}
	tl.fill(rec)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	rec.Headers = s.now()
	if b, ok := resp.Body.(*h1body); ok {
		rec.Headers -= int64(b.waited())
	}
	rec.Status, rec.Proto = resp.StatusCode, resp.Proto
	limits(rec, resp.Header)
	if rec.Status/100 != 2 {
		rec.Error = errHTTP + strconv.Itoa(rec.Status)
		if rec.Status/100 == 3 {
			rec.Error, rec.Message = ErrRedirect, "redirected to "+clip(resp.Header.Get("Location"))
		}
		rd.body, err = io.ReadAll(io.LimitReader(resp.Body, refusalLimit))
		rec.Bytes = int64(len(rd.body))
		if context.Cause(ctx) == nil {
			err = nil // the status has said it
		}
		return err
	}
	var body io.Reader = resp.Body
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity":
	case "gzip":
		rec.Flags = append(rec.Flags, flagGzip)
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			rec.Error, rec.Message = ErrEncoding, "Content-Encoding is gzip, the body is not: "+err.Error()
			return err
		}
		body = z
	default:
		rec.Error, rec.Message = ErrEncoding, "Content-Encoding "+clip(enc)+" was not asked for"
		return errors.New("encoding")
	}
	rd.streamed = strings.HasPrefix(strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Type"))), "text/event-stream") ||
		q.Stream && !strings.Contains(resp.Header.Get("Content-Type"), "json")
	err = s.read(body, rec, rd, cancel)
	return err
}

// read takes the body in.
func (s *sender) read(body io.Reader, rec *Record, rd *reading, cancel context.CancelCauseFunc) error {
	sc := scanner{full: func(b *block) { s.analyst.put(rd, b) }}
	var linger *time.Timer
	seen := 0
	at, err := sc.readAll(body, s.now, func(at int64) error {
		if d := sc.events - seen; d > 0 {
			s.live.arrived(d)
			seen = sc.events
			if linger == nil && sc.doneLast() {
				rd.doneAt = at
				linger = time.AfterFunc(lingerTime, func() { cancel(errLinger) })
			}
		}
		if sc.bytes > s.maxBody {
			return errBodyLimit
		}
		return nil
	})
	rec.Bytes = sc.bytes
	rec.End = at
	if linger != nil {
		linger.Stop()
	}
	if sc.huge > 0 {
		rec.Flags = append(rec.Flags, flagHuge)
	}
	sc.end()
	if err == io.EOF {
		return nil
	}
	return err
}

// doneLast is whether the last event is data: [DONE].
func (s *scanner) doneLast() bool {
	b := s.blk
	if len(b.marks) == 0 {
		return false
	}
	m := b.marks[len(b.marks)-1]
	return m.n < 32 && bytes.Contains(b.buf[m.off:m.off+m.n], []byte("[DONE]"))
}

// limits notes what the target says of its rate limits.
func limits(rec *Record, h http.Header) {
	if v := h.Get("Retry-After-Ms"); v != "" {
		if ms, err := strconv.ParseFloat(v, 64); err == nil && ms >= 0 {
			rec.RetryAfter = ms / 1000
		}
	}
	if v := h.Get("Retry-After"); v != "" && rec.RetryAfter == 0 {
		if sec, err := strconv.ParseFloat(v, 64); err == nil && sec >= 0 {
			rec.RetryAfter = sec
		} else if t, err := http.ParseTime(v); err == nil {
			rec.RetryAfter = max(0, time.Until(t).Seconds())
		}
	}
	for name, v := range h {
		if strings.HasPrefix(name, "X-Ratelimit-") && len(v) > 0 && len(rec.Limits) < 16 {
			if rec.Limits == nil {
				rec.Limits = map[string]string{}
			}
			rec.Limits[strings.ToLower(name)] = clip(v[0])
		}
	}
}
