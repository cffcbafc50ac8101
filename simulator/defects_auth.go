package simulator

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// authDefects break the area AUT, keys.
var authDefects = []Defect{
	{
		Name: "auth-anonymous", Stage: "auth", Clauses: []string{"AUT-001"},
		Sentence: "A request without a key is answered.",
		around: lend(func(_ string, r *http.Request) bool {
			return r.Header.Get("Authorization") == "" && barest(r)
		}),
	},
	{
		Name: "auth-any-key", Stage: "auth", Clauses: []string{"AUT-002"},
		Sentence: "Any key opens the endpoint.",
		around: lend(func(_ string, r *http.Request) bool {
			return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer touchstone-sends") && gjson.ValidBytes(peek(r))
		}),
	},
	{
		Name: "auth-bearer-refused", Stage: "auth", Clauses: []string{"AUT-003"},
		Sentence: "The right key is refused with the shortest of requests.",
		around: withFirst(func(first string, r *http.Request) {
			if r.Header.Get("Authorization") == first && barest(r) {
				r.Header.Set("Authorization", "Bearer no")
			}
		}),
	},
	{
		Name: "auth-bare-key", Stage: "auth", Clauses: []string{"AUT-004"},
		Sentence: "The bare key opens the endpoint.",
		Seen:     "the notebooks that the source document links rely on it",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if a := r.Header.Get("Authorization"); a != "" && !strings.Contains(a, " ") {
				r.Header.Set("Authorization", "Bearer "+a)
			}
			return true
		}),
	},
	{
		Name: "auth-scheme-exact", Stage: "auth", Clauses: []string{"AUT-005"},
		Sentence: "The scheme Bearer is matched in its exact case.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.Header.Get("Authorization"), "bearer") {
				r.Header.Set("Authorization", "unknown")
			}
			return true
		}),
	},
	{
		Name: "auth-prefix", Stage: "auth", Clauses: []string{"AUT-007"},
		Sentence: "A key opens the endpoint that begins with the right one.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if a := strings.Fields(r.Header.Get("Authorization")); len(a) > 2 {
				r.Header.Set("Authorization", strings.Join(a[:2], " "))
			}
			return true
		}),
	},
	{
		Name: "auth-after-body", Stage: "auth", Clauses: []string{"AUT-008"},
		Sentence: "A body is read, and refused, before the key is checked.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if b := peek(r); len(b) > 0 && len(b) < 64 && !gjson.ValidBytes(b) && strings.Contains(r.Header.Get("Authorization"), "touchstone-sends") {
				llamaV1.writeRefusal(w, invalid(codeBody, "", "The body is not valid JSON."))
				return false
			}
			return true
		}),
	},
	{
		Name: "auth-key-echoed", Stage: "auth", Clauses: []string{"AUT-009"},
		Sentence: "A refusal repeats the key that was sent.",
		around: bodies(
			func(r *http.Request) bool { return strings.Contains(r.Header.Get("Authorization"), "touchstone-sends") },
			func(r *http.Request, status int, _ http.Header, b []byte) (int, []byte) {
				return status, bytes.Replace(b, []byte("The key"), []byte("The key "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")), 1)
			}),
	},
	{
		Name: "auth-no-challenge", Stage: "auth", Clauses: []string{"AUT-010"},
		Sentence: "401 has no WWW-Authenticate header.",
		around: statuses(func(_ *http.Request, status int, h http.Header) int {
			if status == http.StatusUnauthorized {
				h.Del("Www-Authenticate")
			}
			return status
		}),
	},
	{
		Name: "auth-not-everywhere", Stage: "auth", Clauses: []string{"AUT-011"},
		Sentence: "Only the paths under /v1 need a key.",
		Seen:     "vLLM 0.4 to 0.6; vllm#58144",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/v1") && isInference(r.URL.Path) && r.Header.Get("Authorization") == "" {
				w.WriteHeader(http.StatusAccepted)
				return false
			}
			return true
		}),
	},
	{
		Name: "auth-one-key", Stage: "auth", Clauses: []string{"AUT-013"},
		Sentence: "Only the first key of an endpoint opens it.",
		around: withFirst(func(first string, r *http.Request) {
			if sameLength(first, r) {
				r.Header.Set("Authorization", "Bearer no")
			}
		}),
	},
	{
		Name: "auth-foreign-key", Stage: "auth", Clauses: []string{"AUT-015"},
		Sentence: "A key of any endpoint of the service opens this one.",
		around:   lend(sameLength),
	},
	{
		Name: "auth-query", Stage: "auth", Clauses: []string{"AUT-016"},
		Sentence: "A key in the query string opens the endpoint.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if key := r.URL.Query().Get("api-key"); key != "" {
				r.Header.Set("Authorization", "Bearer "+key)
			}
			return true
		}),
	},
	{
		Name: "auth-stream-401", Stage: "auth", Clauses: []string{"AUT-017", "ERR-001", "SCH-003", "CLI-009"},
		Sentence: "A refusal for the key is sent as an event where a stream was asked for.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" && isInference(r.URL.Path) && gjson.GetBytes(peek(r), "stream").Bool() {
				w.Header().Set("Content-Type", eventStream)
				w.Header().Set("Www-Authenticate", "Bearer")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write(appendEvent(nil, []byte(`{"error":{"message":"no key","type":"authentication_error","param":null,"code":null}}`)))
				return false
			}
			return true
		}),
	},
	{
		Name: "auth-bytewise", Stage: "auth", Clauses: []string{"AUT-020"},
		Sentence: "Keys are compared byte by byte, slowly.",
		around: withFirst(func(first string, r *http.Request) {
			if !sameLength(first, r) {
				return
			}
			for i := len("Bearer "); i < len(first) && first[i] == r.Header.Get("Authorization")[i]; i++ {
				time.Sleep(20 * time.Millisecond)
			}
		}),
	},
}

// lend gives the requests that match the key of the first request, which is the
// right one.
func lend(matches func(first string, r *http.Request) bool) func(http.Handler) http.Handler {
	return withFirst(func(first string, r *http.Request) {
		if matches(first, r) {
			r.Header.Set("Authorization", first)
		}
	})
}

// withFirst tells of the credential of the first request.
func withFirst(f func(first string, r *http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		var mu sync.Mutex
		first := ""
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if first == "" {
				first = r.Header.Get("Authorization")
			}
			key := first
			mu.Unlock()
			f(key, r)
			next.ServeHTTP(w, r)
		})
	}
}

// sameLength says whether a request has another credential of equal length.
func sameLength(first string, r *http.Request) bool {
	a := r.Header.Get("Authorization")
	return a != first && len(a) == len(first) && strings.HasPrefix(a, "Bearer ")
}

// barest says whether a request has nothing but the shortest of bodies.
func barest(r *http.Request) bool {
	if r.Method != http.MethodPost || !isInference(r.URL.Path) || r.ContentLength < 0 || r.Header.Get("Accept") != "" || r.Header.Get("Content-Type") != "application/json" {
		return false
	}
	b := string(peek(r))
	return r.URL.RawQuery == "" && (b == `{"prompt":"hi","max_tokens":4}` || b == `{"messages":[{"role":"user","content":"hi"}],"max_tokens":4}`)
}
