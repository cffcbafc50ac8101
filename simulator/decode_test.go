package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tidwall/gjson"
)

func TestExactInt(t *testing.T) {
	for raw, want := range map[string]string{
		"0": "0", "-0": "0", "16": "16", "16.0": "16", "1.6e1": "16", "160e-1": "16", "1600E-2": "16", "0.16e+2": "16", "-2.0": "-2", "0e999999999999": "0",
		"9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808", "9007199254740993": "9007199254740993",
		"9.007199254740993e15": "9007199254740993", "0.0": "0", "0.000": "0", "100": "100", "1e2": "100", "1e18": "1000000000000000000",
		"1.5": "refused", "16.000000000000000000001": "refused", "1e-1": "refused", "1e-400": "refused", "1e400": "refused", "9223372036854775808": "refused",
		"1e19": "refused", "1e99999999999999999999": "refused", "1e-99999999999999999999": "refused", `"16"`: "refused", "true": "refused", "null": "refused", "[]": "refused",
	} {
		got := "refused"
		if n, err := exactInt(gjson.Parse(raw)); err == nil {
			got = itoa(n)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestAppendString(t *testing.T) {
	for _, s := range []string{"", "plain", "a\"b\\c/", "\x00\x01\x1f\n\r\t\x7f", "<b>&amp;\u2028\u2029", "안녕 😀", "a\xffb\xc3", "\uFFFD"} {
		b := appendString(nil, s)
		var back string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Errorf("%q: %s: %v", s, b, err)
		}
		if want := string(bytes.ToValidUTF8([]byte(s), []byte("\uFFFD"))); back != want {
			t.Errorf("%q comes back as %q, want %q", s, back, want)
		}
	}
}

// FuzzRequest sends any body to every route: the answer is 200 or a refusal
// that a client can read, never 5xx, and the server is fine afterwards.
func FuzzRequest(f *testing.F) {
	seen := map[string]bool{}
	for _, e := range endpoints() {
		f.Add([]byte(ask(e.path, `"max_tokens":3`)))
		for _, p := range e.route.parameters {
			if seen[p.name] {
				continue
			}
			seen[p.name] = true
			for _, v := range []string{"null", "1", "-1.5e400", "true", `"x"`, `"\ud800"`, "[1,[2]]", `{"a":{}}`} {
				f.Add(fmt.Appendf(nil, `{"model":"fake","prompt":"a","messages":[{"role":"user","content":"b"}],%q:%s}`, p.name, v))
				f.Add([]byte(ask(e.path, fmt.Sprintf("%q:%s", p.name, v))))
			}
		}
	}
	f.Add([]byte("\xff{"))
	s, err := New(Options{Generator: newFake(), Clock: testClock})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, e := range endpoints() {
			w := httptest.NewRecorder()
			request := httptest.NewRequest("POST", e.path, bytes.NewReader(body))
			request.Header.Set("Extra-Parameters", "pass-through")
			s.ServeHTTP(w, request)
			r := reply{w.Code, w.Result().Header, w.Body.String()}
			switch w.Code {
			case http.StatusOK:
				if !json.Valid(body) {
					t.Errorf("a body that is not JSON is answered: %q", body)
				}
			case http.StatusBadRequest:
				refused(t, r, 400, "")
			case http.StatusUnprocessableEntity:
				if e.dialect != &azureInference {
					t.Errorf("422 on %s: %s", e, r.body)
				}
				refused(t, r, 422, "")
			case http.StatusNotFound:
				if r.get("error.code").Str != "model_not_found" || e.dialect != &openAI {
					t.Errorf("404 on %s: %s", e, r.body)
				}
			default:
				t.Errorf("status %d: %s", w.Code, r.body)
			}
		}
	})
}
