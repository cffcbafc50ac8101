package suites_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/touchstone-llm/touchstone/reports"
	"github.com/touchstone-llm/touchstone/schemas"
	"github.com/touchstone-llm/touchstone/suites"
)

// one is a target that gives every request the same short answer.
func one(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/completions" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"id":"x","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"hi","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
}

func ExampleJudge() {
	server := httptest.NewServer(http.HandlerFunc(one))
	defer server.Close()
	result, err := suites.Judge(context.Background(), suites.Target{BaseURL: server.URL}, suites.Options{Clauses: []string{"RSP-004", "RSP-006"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range result.Verdicts {
		fmt.Println(v.Clause, v.Verdict)
	}
	fmt.Println("conformant:", result.Summary.Conformant)
	// Output:
	// RSP-004 fail
	// RSP-006 pass
	// conformant: false
}

func TestTargetsAndOptions(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(one))
	defer server.Close()
	for _, c := range []struct {
		name   string
		target suites.Target
		opts   suites.Options
		err    error
		says   string
	}{
		{"no scheme", suites.Target{BaseURL: "localhost"}, suites.Options{}, suites.ErrConfig, "http://host"},
		{"dialect", suites.Target{BaseURL: server.URL, Dialect: "grpc"}, suites.Options{}, suites.ErrConfig, "grpc"},
		{"kind", suites.Target{BaseURL: server.URL, Kind: "toaster"}, suites.Options{}, suites.ErrConfig, "toaster"},
		{"route", suites.Target{BaseURL: server.URL, Routes: []schemas.Route{"edits"}}, suites.Options{}, suites.ErrConfig, "edits"},
		{"profile", suites.Target{BaseURL: server.URL}, suites.Options{Profile: "lax"}, suites.ErrConfig, "lax"},
		{"unknown clause", suites.Target{BaseURL: server.URL}, suites.Options{Clauses: []string{"STR-999"}}, suites.ErrConfig, "STR-999"},
		{"excluded clause", suites.Target{BaseURL: server.URL}, suites.Options{Clauses: []string{"STR-026"}}, suites.ErrConfig, "not enforced"},
		{"area", suites.Target{BaseURL: server.URL}, suites.Options{Areas: []string{"ABC"}}, suites.ErrConfig, "ABC"},
		{"label filter", suites.Target{BaseURL: server.URL}, suites.Options{LabelFilter: "(("}, suites.ErrConfig, "label filter"},
		{"nothing", suites.Target{BaseURL: server.URL}, suites.Options{LabelFilter: "STR && RSP"}, suites.ErrNothing, ""},
		{"nothing on the route", suites.Target{BaseURL: server.URL, Routes: []schemas.Route{schemas.Chat}}, suites.Options{Clauses: []string{"RSP-006"}}, suites.ErrNothing, ""},
	} {
		_, err := suites.Judge(t.Context(), c.target, c.opts)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A target that is not there, or elsewhere, is judged by no clause, and it is
// said why.
func TestUnreachable(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc // nil: nobody listens
		says    string
	}{
		{"nobody", nil, "refused"},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://other.example"+r.URL.Path, http.StatusPermanentRedirect)
		}, "to https://other.example/v1/"},
		{"silent", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }, "refused (HTTP 403) without a word"},
		{"speaking", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, `{"error":{"message":"Who are you?"}}`, http.StatusForbidden)
		}, "refused (HTTP 403): Who are you?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			if c.handler == nil {
				server.Close()
			}
			r, err := suites.Run(t.Context(), suites.Target{BaseURL: server.URL}, suites.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range r.Verdicts {
				if v.Verdict != reports.Skip {
					t.Errorf("%s: %s", v.Clause, v.Verdict)
				}
			}
			if r.Summary.ExitCode != 3 || r.Summary.Conformant {
				t.Errorf("%+v", r.Summary)
			}
			if why := r.Calibration[0].Value; !strings.Contains(why, c.says) {
				t.Errorf("%q, want %q", why, c.says)
			}
		})
	}
}

// A target that goes away is never conformant, whatever it kept by then.
func TestLost(t *testing.T) {
	for _, dies := range []int32{12, 3000} {
		var n atomic.Int32
		server := httptest.NewUnstartedServer(nil)
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == dies {
				server.Listener.Close()
			}
			w.Header().Set("Connection", "close")
			one(w, r)
		})
		server.Start()
		defer server.Close()
		r, err := suites.Judge(t.Context(), suites.Target{BaseURL: server.URL}, suites.Options{Clauses: []string{"RSP-006", "RSP-011", "REQ-058", "BST-013"}})
		if err != nil {
			t.Fatal(err)
		}
		lost := dies == 12
		if (r.Lost != "") != lost || lost && (r.Summary.Conformant || r.Summary.ExitCode == 0 || !strings.Contains(r.Lost, "refused")) {
			t.Errorf("after %d requests: lost %q, %+v", dies, r.Lost, r.Summary)
		}
	}
}

// A run that is cut short keeps what it has and says so.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 20 {
			cancel()
		}
		one(w, r)
	}))
	defer server.Close()
	for _, check := range []func(context.Context, suites.Target, suites.Options) (*reports.Result, error){suites.Run, suites.Judge} {
		r, err := check(ctx, suites.Target{BaseURL: server.URL}, suites.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Interrupted || r.Summary.ExitCode != 130 || len(r.Verdicts) < 80 {
			t.Errorf("interrupted %t, %d verdicts, %+v", r.Interrupted, len(r.Verdicts), r.Summary)
		}
		for _, v := range r.Verdicts {
			if v.Verdict == reports.Fail {
				t.Errorf("%s fails on a run that was cut short: %s", v.Clause, v.Reason)
			}
		}
	}
}

// The verdicts come in the order of the register, each once, and the key
// reaches no result.
func TestRunStreamsVerdicts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Debug", r.Header.Get("Authorization"))
		one(w, r)
	}))
	defer server.Close()
	var streamed []string
	r, err := suites.Run(t.Context(), suites.Target{BaseURL: server.URL, Key: "sesame-4711"}, suites.Options{
		Areas:     []string{"RSP", "STR"},
		OnVerdict: func(v reports.Verdict) { streamed = append(streamed, v.Clause) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, v := range r.Verdicts {
		listed = append(listed, v.Clause)
	}
	if fmt.Sprint(streamed) != fmt.Sprint(listed) || len(listed) == 0 {
		t.Errorf("streamed %v\nlisted %v", streamed, listed)
	}
	if s := fmt.Sprintf("%+v", r); strings.Contains(s, "sesame") {
		t.Error("the key is in the result")
	}
}
