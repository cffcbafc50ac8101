package simulator

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// An exhibit is a request whose answer shows a defect.
type exhibit struct {
	path    string
	members string
	// has stands in the answer of the defective server, and not in the
	// reference's; lacks the other way round. At least one is given.
	has, lacks string
}

// exhibits by defect; those that need more than one request have tests of
// their own, below.
var exhibits = map[string]exhibit{
	"content-type-text":           {chatPath, ``, "Content-Type: text/plain", "Content-Type: application/json"},
	"two-documents":               {chatPath, `"max_tokens":1`, "}}\n{\"id\"", ""},
	"usage-missing":               {chatPath, ``, "", `"usage"`},
	"id-missing":                  {chatPath, ``, "", `"id"`},
	"id-constant":                 {chatPath, ``, `"id":"chatcmpl-00000000-0000`, ""},
	"id-empty":                    {chatPath, ``, `"id":""`, ""},
	"id-from-prompt":              {chatPath, ``, "", `"id":"chatcmpl-00000001"`},
	"object-completions":          {completionsPath, ``, `"object":"text.completion"`, ""},
	"object-chat":                 {chatPath, ``, `"object":"chat.completion.chunk"`, ""},
	"created-float":               {chatPath, `"stream":true`, `"created":1795492800.25,`, ""},
	"created-string":              {chatPath, ``, `"created":"2026-11-24T04:00:00Z"`, ""},
	"created-uptime":              {chatPath, ``, `"created":217877,`, ""},
	"created-milliseconds":        {chatPath, ``, `"created":1795492800000,`, ""},
	"created-process-start":       {chatPath, ``, `"created":1795489200,`, ""},
	"model-missing":               {chatPath, ``, "", `"model"`},
	"model-null":                  {chatPath, ``, `"model":null`, ""},
	"model-empty":                 {chatPath, ``, `"model":""`, ""},
	"model-echoed":                {chatPath, `"model":"other"`, `"model":"other"`, ""},
	"n-ignored":                   {chatPath, `"n":3`, "", `"index":1`},
	"choices-empty":               {chatPath, `"n":3`, `"choices":[]`, ""},
	"index-all-zero":              {chatPath, `"n":2`, "", `"index":1`},
	"index-from-one":              {chatPath, ``, `"index":1`, `"index":0`},
	"completions-have-message":    {completionsPath, ``, `"message":{"role":"assistant","content":"The moon`, ""},
	"chat-has-text":               {chatPath, ``, `"text":" The moon`, ""},
	"finish-null":                 {chatPath, `"n":2`, `"finish_reason":null}`, ""},
	"finish-missing":              {chatPath, `"n":2`, `"index":1,"message":{"role":"assistant","content":"It is 달, I think so!"}}`, ""},
	"logprobs-empty-object":       {completionsPath, ``, `"logprobs":{}`, ""},
	"prompt-echoed":               {completionsPath, ``, `"text":"How far is the moon?The moon`, ""},
	"error-on-success":            {chatPath, ``, `"error":{`, ""},
	"error-with-200":              {chatPath, `"top_p":7`, "HTTP 200", "HTTP 400"},
	"error-shape-unknown":         {chatPath, `"n":0`, `{"reason":`, `{"error":`},
	"invalid-utf8":                {chatPath, `"n":2`, "so!\xff\"", ""},
	"lone-surrogate":              {completionsPath, `"n":2`, `so!\ud83d"`, ""},
	"usage-strings":               {chatPath, ``, `"prompt_tokens":"9"`, ""},
	"usage-floats":                {chatPath, ``, `"prompt_tokens":9.0`, ""},
	"finish-eos":                  {chatPath, ``, `"finish_reason":"eos"`, `"finish_reason":"stop"`},
	"finish-length-for-eos":       {chatPath, ``, `"finish_reason":"length"`, `"finish_reason":"stop"`},
	"finish-length-for-stop":      {chatPath, `"stop":" is"`, `"finish_reason":"length"`, `"finish_reason":"stop"`},
	"finish-stop-for-length":      {chatPath, `"max_tokens":2`, `"finish_reason":"stop"`, `"finish_reason":"length"`},
	"stop-overcounted":            {chatPath, `"max_tokens":16`, `"completion_tokens":17`, ""},
	"one-token-stops":             {chatPath, `"max_tokens":1`, `"finish_reason":"stop"`, ""},
	"ignore-eos-ignored":          {chatPath, `"ignore_eos":true`, `"finish_reason":"stop"`, ""},
	"context-end-fails":           {chatPath, `"ignore_eos":true,"max_tokens":119`, "HTTP 500", ""},
	"finish-copied":               {chatPath, `"n":2,"max_tokens":7`, "", `"finish_reason":"length"`},
	"finish-empty":                {chatPath, `"stream":true`, `"finish_reason":""`, `"finish_reason":null`},
	"stream-finish-stop":          {chatPath, `"stream":true,"max_tokens":2`, `"finish_reason":"stop"`, ""},
	"stream-content-type":         {chatPath, `"stream":true`, "Content-Type: application/json", ""},
	"stream-ignored":              {chatPath, `"stream":true,"stream_options":{}`, `"message":`, "data: "},
	"sse-no-blank-line":           {chatPath, `"stream":true`, "}\ndata: {", "}\n\ndata: {"},
	"sse-last-blank-line-missing": {chatPath, `"stream":true`, "", "data: [DONE]\n\n"},
	"sse-event-field":             {chatPath, `"stream":true`, "event: message\ndata: {", ""},
	"sse-multi-line":              {chatPath, `"stream":true`, "data: {\ndata:   \"id\":", ""},
	"sse-bom":                     {chatPath, `"stream":true`, "\xEF\xBB\xBFdata: ", ""},
	"done-missing":                {chatPath, `"stream":true`, "", "[DONE]"},
	"done-doubled":                {chatPath, `"stream":true`, done + done, ""},
	"done-quoted":                 {chatPath, `"stream":true`, `data: "[DONE]"`, "data: [DONE]"},
	"event-after-done":            {chatPath, `"stream":true`, done + `data: {`, ""},
	"finish-key-missing":          {chatPath, `"stream":true`, "", `"finish_reason":null`},
	"finish-never":                {chatPath, `"stream":true`, "", `"finish_reason":"stop"`},
	"finish-twice":                {completionsPath, `"stream":true`, `"finish_reason":"stop"}]}` + "\n\ndata: {", ""},
	"text-after-finish":           {completionsPath, `"stream":true`, `"text":".","logprobs":null,"finish_reason":null}]}` + "\n\n" + done, ""},
	"finish-with-text":            {chatPath, `"stream":true`, `"delta":{"content":"."},"finish_reason":"stop"`, `"delta":{},`},
	"chunk-object-chat":           {chatPath, `"stream":true`, `"object":"chat.completion"`, ""},
	"chunk-object-completions":    {completionsPath, `"stream":true`, `"object":"text_completion.chunk"`, ""},
	"id-per-chunk":                {chatPath, `"stream":true`, "", `"id":"chatcmpl-00000001"`},
	"created-per-chunk":           {chatPath, `"stream":true`, `"created":1795492801`, ""},
	"chunk-message":               {chatPath, `"stream":true`, `"message":{"role":"assistant","content":"The moon is"}`, ""},
	"role-missing":                {chatPath, `"stream":true`, "", `"role"`},
	"role-repeated":               {chatPath, `"stream":true`, `{"content":"The","role":"assistant"}`, ""},
	"content-list":                {chatPath, `"stream":true,"n":2`, `"content":[]`, ""},
	"text-null":                   {completionsPath, `"stream":true`, `"text":null`, ""},
	"first-token-dropped":         {chatPath, `"stream":true`, "", `"content":"The"`},
	"token-doubled":               {chatPath, `"stream":true`, `"content":" moon moon"`, ""},
	"stream-only-first":           {chatPath, `"stream":true,"n":2`, "", `"index":1`},
	"stop-leaks":                  {chatPath, `"stream":true,"stop":"on is f"`, `"content":" is"`, ""},
	"stop-kept":                   {chatPath, `"stop":"on is f"`, `"content":"The moon is f"`, ""},
	"utf8-split":                  {chatPath, `"stream":true,"n":2`, `" ` + "\uFFFD\uFFFD\uFFFD" + `"`, "달"},
	"stream-one-chunk":            {chatPath, `"stream":true`, `"content":"The moon is far away."`, `"content":"The"`},
	"cache-control-missing":       {chatPath, `"stream":true`, "", "Cache-Control"},
	"stream-error-in-200":         {chatPath, `"stream":true,"n":0`, "HTTP 200", "HTTP 400"},
	"heartbeat-chunks":            {chatPath, `"stream":true`, `"choices":[]}`, ""},
	"offsets-restart":             {completionsPath, `"stream":true,"logprobs":0`, "", `"text_offset":[3]`},
	"chunks-doubled":              {chatPath, `"stream":true`, strings.Repeat(`data: {"id":"chatcmpl-00000001","object":"chat.completion.chunk","created":1795492800,"model":"fake","choices":[{"index":0,"delta":{"content":"The"},"finish_reason":null}]}`+"\n\n", 2), ""},
	"chunks-empty":                {completionsPath, `"stream":true`, `"text":"","logprobs":null,"finish_reason":null`, ""},
	"best-of-reduces-n":           {chatPath, `"n":3,"best_of":2`, "HTTP 200", "HTTP 400"},
	"best-of-equal-accepted":      {chatPath, `"n":2,"best_of":2`, "HTTP 200", "HTTP 400"},
	"best-of-defaults-to-1":       {chatPath, `"n":2`, "HTTP 400", "HTTP 200"},
	"best-of-1-refused":           {chatPath, `"n":1,"best_of":1`, "HTTP 400", "HTTP 200"},
	"best-of-returns-all":         {chatPath, `"n":1,"best_of":3`, `"index":2`, ""},
	"best-of-worst":               {chatPath, `"best_of":3`, "The moon is far", "A long way off"},
	"best-of-second":              {chatPath, `"best_of":3`, "It is", "A long way off"},
	"best-of-unsorted":            {chatPath, `"n":2,"best_of":3`, `"index":0,"message":{"role":"assistant","content":"It is`, ""},
	"best-of-streams":             {chatPath, `"best_of":2,"stream":true`, `"delta":{"content":"The"}`, "HTTP 400"},
	"best-of-greedy-random":       {chatPath, `"best_of":2,"temperature":0`, "HTTP 200", "HTTP 400"},
	"best-of-null-500":            {chatPath, `"best_of":null`, "HTTP 500", "HTTP 200"},
	"best-of-clamped":             {chatPath, `"best_of":1000000`, "HTTP 200", "HTTP 400"},
	"best-of-indices-doubled":     {chatPath, `"n":2,"best_of":3`, "", `"index":1`},
	"best-of-unknown-on-chat":     {chatPath, `"best_of":1`, "best_of is not a parameter", "HTTP 200"},
	"usage-first-choice":          {chatPath, `"n":2`, `"completion_tokens":7,`, `"completion_tokens":16,`},
	"beam-of-1-accepted":          {chatPath, `"use_beam_search":true,"best_of":1,"temperature":0`, "HTTP 200", "HTTP 400"},
	"beam-temperature-ignored":    {chatPath, `"use_beam_search":true,"best_of":2,"temperature":0.5`, "HTTP 200", "HTTP 400"},
	"beam-implies-temperature-0":  {chatPath, `"use_beam_search":true,"best_of":2`, "HTTP 200", "HTTP 400"},
	"beam-ignored":                {chatPath, `"use_beam_search":true,"best_of":2,"temperature":0`, "The moon is far", "It is"},
	"beam-fails":                  {chatPath, `"use_beam_search":true,"best_of":2,"temperature":0`, "HTTP 500", "HTTP 200"},
	"beam-sampled":                {chatPath, `"use_beam_search":true,"best_of":2,"temperature":0`, "The moon is far", "It is"},
	"beam-copies":                 {chatPath, `"use_beam_search":true,"n":2,"temperature":0`, "", "It is"},
	"beam-unsorted":               {chatPath, `"use_beam_search":true,"n":2,"temperature":0`, `"index":0,"message":{"role":"assistant","content":"The moon`, ""},
	"beam-below-greedy":           {chatPath, `"use_beam_search":true,"best_of":2,"temperature":0`, "The moon is far", "It is"},
	"beam-streams":                {chatPath, `"use_beam_search":true,"best_of":2,"temperature":0,"stream":true`, "data: ", "HTTP 400"},
	"beam-false-is-true":          {chatPath, `"use_beam_search":false`, "HTTP 400", "HTTP 200"},
}

// dump is a reply as text: status, header, body.
func dump(r reply) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP %d\n", r.status)
	for name, values := range r.header {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(values, ", "))
	}
	return b.String() + "\n" + r.body
}

// TestDefects shows every defect on the wire, and that the reference is
// without it.
func TestDefects(t *testing.T) {
	for _, d := range Defects() {
		t.Run(d.Name, func(t *testing.T) {
			e, ok := exhibits[d.Name]
			if !ok {
				return // shown in a test of its own here, or by the suites in cli
			}
			right := dump(post(t, serve(t, newFake()), e.path, ask(e.path, e.members)))
			wrong := dump(post(t, serve(t, newFake(), d.Name), e.path, ask(e.path, e.members)))
			if e.has == "" && e.lacks == "" {
				t.Fatal("the exhibit says nothing")
			}
			if e.has != "" && (!strings.Contains(wrong, e.has) || strings.Contains(right, e.has)) {
				t.Errorf("only the defective answer should have %s\nreference: %s\ndefective: %s", e.has, right, wrong)
			}
			if e.lacks != "" && (strings.Contains(wrong, e.lacks) || !strings.Contains(right, e.lacks)) {
				t.Errorf("only the reference's answer should have %s\nreference: %s\ndefective: %s", e.lacks, right, wrong)
			}
		})
	}
}

// TestRegister holds the register to its own rules.
func TestRegister(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	clause := regexp.MustCompile(`^[A-Z]{3,4}-\d{3}$`)
	stage := []string{"http", "decode", "auth", "extra", "type", "range", "combination", "context", "quota", "safety", "generate", "shape", "wire"}
	var names []string
	for _, d := range Defects() {
		if !name.MatchString(d.Name) || slices.Contains(names, d.Name) {
			t.Errorf("%s: the name is not made of lower-case words, or comes twice", d.Name)
		}
		names = append(names, d.Name)
		if !strings.HasSuffix(d.Sentence, ".") || !slices.Contains(stage, d.Stage) || len(d.Clauses) == 0 {
			t.Errorf("%s: sentence %q, stage %q, clauses %q", d.Name, d.Sentence, d.Stage, d.Clauses)
		}
		for _, c := range d.Clauses {
			if !clause.MatchString(c) {
				t.Errorf("%s: clause %q", d.Name, c)
			}
		}
	}
	if len(names) < 60 {
		t.Errorf("%d defects", len(names))
	}
}

// TestDefectsCompose asks for two at once.
func TestDefectsCompose(t *testing.T) {
	r := post(t, serve(t, newFake(), "done-missing", "chunk-object-chat", "role-missing"), chatPath, ask(chatPath, `"stream":true`))
	if strings.Contains(r.body, "[DONE]") || strings.Contains(r.body, "chunk") || strings.Contains(r.body, `"role"`) {
		t.Errorf("not all defects show: %s", r.body)
	}
}

// raw sends a request by hand and returns the connection.
func raw(t *testing.T, h *httptest.Server, path, body string) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, _ := url.Parse(h.URL)
	connection, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, u.Host, testKey, len(body), body)
	return connection, bufio.NewReader(connection)
}

func TestLengthAndChunked(t *testing.T) {
	_, r := raw(t, serve(t, newFake(), "length-and-chunked"), chatPath, ask(chatPath, ""))
	head := ""
	for line := ""; line != "\r\n"; head += line {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(head, "Content-Length: ") || !strings.Contains(head, "Transfer-Encoding: chunked") {
		t.Errorf("head %s", head)
	}
	if got := post(t, serve(t, newFake(), "length-and-chunked"), chatPath, ask(chatPath, "")); got.get("choices.0.finish_reason").Str != "stop" {
		t.Errorf("a client reads %s", got.body)
	}
}

// TestStreamBuffered compares what has come while the generation waits.
func TestStreamBuffered(t *testing.T) {
	for _, defects := range [][]string{nil, {"stream-buffered"}} {
		f := newFake()
		f.gate = make(chan struct{})
		_, r := raw(t, serve(t, f, defects...), completionsPath, ask(completionsPath, `"stream":true,"max_tokens":3`))
		lines := make(chan string, 100)
		go func() {
			defer close(lines)
			for {
				line, err := r.ReadString('\n')
				if err != nil || strings.Contains(line, "[DONE]") {
					return
				}
				if strings.HasPrefix(line, "data: ") {
					lines <- line
				}
			}
		}()
		if defects == nil {
			<-lines // the first event comes before the second step
		}
		f.gate <- struct{}{}
		if early := len(lines); defects != nil && early > 0 {
			t.Errorf("%d events before the second step", early)
		}
		f.gate <- struct{}{}
		n := 0
		for range lines {
			n++
		}
		if want := 4; defects != nil && n != want {
			t.Errorf("%d events, want %d", n, want)
		}
	}
}

// TestStreamEnds reads a stream to its end and looks how that is.
func TestStreamEnds(t *testing.T) {
	for name, want := range map[string]error{"": nil, "stream-cut": io.ErrUnexpectedEOF, "stream-left-open": io.ErrUnexpectedEOF} {
		s, err := New(Options{Generator: newFake(), Defects: slices.DeleteFunc([]string{name}, func(s string) bool { return s == "" })})
		if err != nil {
			t.Fatal(err)
		}
		var waited time.Duration
		s.wait = func(_ <-chan struct{}, d time.Duration) { waited = d }
		h := httptest.NewServer(s)
		response, err := h.Client().Post(h.URL+completionsPath, "application/json", strings.NewReader(ask(completionsPath, `"stream":true`)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		h.Close()
		if err != want || !strings.HasSuffix(string(body), done) {
			t.Errorf("%q: error %v, want %v; body %s", name, err, want, body)
		}
		if held := waited == 10*time.Second; held != (name == "stream-left-open") {
			t.Errorf("%q: waited %s", name, waited)
		}
	}
}

func TestDisconnectLeaks(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	var over sync.WaitGroup
	s, err := New(Options{Generator: f, Defects: []string{"disconnect-leaks"}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer over.Done()
		s.ServeHTTP(w, r)
	}))
	defer h.Close()
	status := func() int {
		over.Add(1)
		defer over.Wait()
		return post(t, h, completionsPath, ask(completionsPath, `"max_tokens":1`)).status
	}
	for range 2 {
		if got := status(); got != 200 {
			t.Fatalf("status %d before the places are taken", got)
		}
		over.Add(1)
		connection, r := raw(t, h, completionsPath, ask(completionsPath, `"stream":true`))
		if _, err := r.ReadString('}'); err != nil {
			t.Fatal(err)
		}
		connection.Close()
		over.Wait()
	}
	if got := status(); got != 429 {
		t.Errorf("status %d after two streams were left, want 429", got)
	}
}

// TestStreamsMixed runs two equal streams in step: each writes while the other
// is there.
func TestStreamsMixed(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	h := serve(t, f, "streams-mixed")
	_, one := raw(t, h, completionsPath, ask(completionsPath, `"stream":true,"max_tokens":3`))
	if _, err := one.ReadString('}'); err != nil { // it runs
		t.Fatal(err)
	}
	_, two := raw(t, h, completionsPath, ask(completionsPath, `"stream":true,"max_tokens":3`))
	if _, err := two.ReadString('}'); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		f.gate <- struct{}{}
	}
	text := ""
	for {
		line, err := one.ReadString('\n')
		if err != nil || strings.Contains(line, "[DONE]") {
			break
		}
		text += chunkText([]byte(strings.TrimPrefix(line, "data: ")))
	}
	if !strings.Contains(text, "The") {
		t.Errorf("the first stream goes on with %q, without what the second began with", text)
	}
}

func TestBestOfAbsurdSlow(t *testing.T) {
	s, err := New(Options{Generator: newFake(), Defects: []string{"best-of-absurd-slow"}})
	if err != nil {
		t.Fatal(err)
	}
	var waited time.Duration
	s.wait = func(_ <-chan struct{}, d time.Duration) { waited = d }
	h := httptest.NewServer(s)
	defer h.Close()
	refused(t, post(t, h, chatPath, ask(chatPath, `"best_of":1000000`)), 400, "best_of")
	if waited < 2*time.Second {
		t.Errorf("waited %s, want more than the 2 s of BST-013", waited)
	}
}
