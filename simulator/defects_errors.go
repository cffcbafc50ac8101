package simulator

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidwall/gjson"
)

// errorDefects break the area ERR, errors, and what depends on them in CLI.
var errorDefects = []Defect{
	{
		Name: "error-html", Stage: "http", Clauses: []string{"ERR-001"},
		Sentence: "A method that is not allowed is refused with a page of HTML by its label.",
		Seen:     "proxies before an endpoint",
		around: statuses(func(_ *http.Request, status int, h http.Header) int {
			if status == http.StatusMethodNotAllowed {
				h.Set("Content-Type", "text/html")
			}
			return status
		}),
	},
	{
		Name: "error-flat", Stage: "wire", Clauses: []string{"ERR-002"},
		Sentence: "A top_p out of range is refused with a flat body: object, message, type, param, code.",
		Seen:     "vLLM 0.4 to 0.6; vllm#12886",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "top_p" || r.code != codeRange {
				return b
			}
			return edit([]byte(gjson.GetBytes(b, "error").Raw), func(o *object) { o.set("object", `"error"`) })
		}),
	},
	{
		Name: "error-code-wrong", Stage: "wire", Clauses: []string{"ERR-005"},
		Sentence: "The code inside a refusal of top_p is 500, whatever the status.",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "top_p" {
				return b
			}
			return bytes.Replace(b, []byte(`"code":"`+r.code+`"`), []byte(`"code":500`), 1)
		}),
	},
	{
		Name: "error-message-empty", Stage: "wire", Clauses: []string{"ERR-006", "CLI-009", "SCH-003"},
		Sentence: "The message of a refusal of top_p is empty.",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "top_p" || r.code != codeRange {
				return b
			}
			return edit(b, func(o *object) {
				o.set("error", string(edit([]byte(o.get("error")), func(e *object) { e.set("message", `""`) })))
			})
		}),
	},
	{
		Name: "error-500", Stage: "decode", Clauses: []string{"ERR-009", "ERR-015", "REQ-041"},
		Sentence: "A fraction for max_tokens is answered with 500.",
		Seen:     "llama.cpp#23463, vllm#16721",
		arm:      fails(func(c *call) bool { return gjson.GetBytes(c.body, "max_tokens").Raw == "1.5" }),
	},
	{
		Name: "error-traceback", Stage: "wire", Clauses: []string{"ERR-010"},
		Sentence: "The refusal of a top_p out of range shows where in the server it was raised.",
		Seen:     "Azure's managed-compute server prints the exception",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "top_p" || r.code != codeRange {
				return b
			}
			return bytes.Replace(b, []byte("top_p must"), []byte("Traceback (most recent call last): /usr/lib/python3/serving.py:88 ValueError: top_p must"), 1)
		}),
	},
	{
		Name: "wedged-after-error", Stage: "http", Clauses: []string{"ERR-011"},
		Sentence: "After a bad stop_token_ids the next request for one token of a story is refused.",
		Seen:     "sgl-project/sglang#22144: stop_token_ids [null] ends the server",
		around: func(next http.Handler) http.Handler {
			var mu sync.Mutex
			wedged := false
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b := peek(r)
				mu.Lock()
				control := wedged && gjson.GetBytes(b, "max_tokens").Int() == 1 && gjson.GetBytes(b, "temperature").Raw == "0" && gjson.GetBytes(b, "@keys.#").Int() == 3 && (bytes.Contains(b, []byte("Once upon a time")) || bytes.Contains(b, []byte("a long story")))
				if wedged = wedged && !control || bytes.Contains(b, []byte(`"stop_token_ids":13`)); control {
					mu.Unlock()
					llamaV1.writeRefusal(w, invalid(codeBody, "", "The server is not ready."))
					return
				}
				mu.Unlock()
				next.ServeHTTP(w, r)
			})
		},
	},
	{
		Name: "error-names-nothing", Stage: "wire", Clauses: []string{"ERR-012"},
		Sentence: "A max_tokens of the wrong type is refused with the words invalid request.",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "max_tokens" || r.code != codeType {
				return b
			}
			return []byte(`{"error":{"message":"Invalid request.","type":"invalid_request_error","param":null,"code":"invalid_type"}}`)
		}),
	},
	{
		Name: "error-status-varies", Stage: "decode", Clauses: []string{"ERR-013"},
		Sentence: "The same bad top_p is refused with 400 and 422 in turn.",
		arm: func() arming {
			var mu sync.Mutex
			seen := map[string]int{}
			return refusing("decode", func(c *call, o *object) *refusal {
				if o.get("top_p") != "7" || o.get("temperature") != "" {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				bad := invalid(codeRange, "top_p", "top_p must be in (0, 1], got 7.")
				same := c.route.name + " " + o.get("max_tokens") // other requests may come between two
				if seen[same]++; seen[same]%2 == 0 {
					bad.status = http.StatusUnprocessableEntity
				}
				return bad
			})()
		},
	},
	{
		Name: "error-type-varies", Stage: "wire", Clauses: []string{"ERR-021"},
		Sentence: "The refusal of a top_p out of range has the type of OpenAI and that of vLLM in turn.",
		arm: func() arming {
			var n atomic.Int64
			return refusedBodies(func(r *refusal, b []byte) []byte {
				if r.param != "top_p" || r.code != codeRange || n.Add(1)%2 == 1 {
					return b
				}
				return edit(b, func(o *object) {
					o.set("error", string(edit([]byte(o.get("error")), func(e *object) { e.set("type", `"BadRequestError"`) })))
				})
			})()
		},
	},
	{
		Name: "error-message-cut", Stage: "wire", Clauses: []string{"ERR-021"},
		Sentence: "The message of each other refusal of a top_p out of range breaks off in a word.",
		arm: func() arming {
			var n atomic.Int64
			return refusedBodies(func(r *refusal, b []byte) []byte {
				if r.param != "top_p" || r.code != codeRange || n.Add(1)%2 == 1 {
					return b
				}
				return bytes.Replace(b, []byte(r.message), []byte("top_p must be i"), 1)
			})()
		},
	},
	{
		Name: "error-404-for-value", Stage: "decode", Clauses: []string{"ERR-015", "REQ-052"},
		Sentence: "A negative temperature is refused with 404.",
		arm: refusing("decode", func(_ *call, o *object) *refusal {
			if o.get("temperature") == "-0.1" {
				bad := invalid(codeRange, "temperature", "temperature must be non-negative, got -0.1.")
				bad.status = http.StatusNotFound
				return bad
			}
			return nil
		}),
	},
	{
		Name: "error-424-unexplained", Stage: "decode", Clauses: []string{"ERR-017"},
		Sentence: "An unknown parameter is refused with 424 that does not say what failed behind.",
		arm: refusing("decode", func(_ *call, o *object) *refusal {
			if o.get("zzz_touchstone") == "1" {
				bad := invalid(codeUnknown, "zzz_touchstone", "zzz_touchstone is not a parameter.")
				bad.status = http.StatusFailedDependency
				return bad
			}
			return nil
		}),
	},
	{
		Name: "error-detail-unplaced", Stage: "wire", Clauses: []string{"ERR-020", "ERR-002"},
		Sentence: "A top_p out of range is refused with a detail that does not say where.",
		Seen:     "FastAPI servers with handlers of their own",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "top_p" || r.code != codeRange {
				return b
			}
			return []byte(`{"detail":[{"msg":` + quote(r.message) + `}]}`)
		}),
	},
	{
		Name: "client-headers-refused", Stage: "http", Clauses: []string{"CLI-001", "CLI-002"},
		Sentence: "Headers that OpenAI's clients add are refused.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-Stainless-Lang") != "" {
				llamaV1.writeRefusal(w, invalid(codeBody, "", "The request has headers that are not allowed."))
				return false
			}
			return true
		}),
	},
	{
		Name: "client-unnamed-refused", Stage: "http", Clauses: []string{"CLI-003"},
		Sentence: "The User-Agent of Go's own client is refused.",
		Seen:     "web application firewalls",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.UserAgent(), "Go-http-client") {
				llamaV1.writeRefusal(w, refuse(http.StatusForbidden, "forbidden", "This client is not allowed."))
				return false
			}
			return true
		}),
	},
	{
		Name: "client-langchaingo-cut", Stage: "decode", Clauses: []string{"CLI-004"},
		Sentence: "max_completion_tokens without max_tokens and ignore_eos has no effect.",
		Seen:     "vLLM 0.6.0",
		arm: rewrite(func(_ *call, o *object) {
			if o.get("ignore_eos") == "" {
				o.remove("max_completion_tokens")
			}
		}),
	},
	{
		Name: "client-langchain-refused", Stage: "http", Clauses: []string{"CLI-005"},
		Sentence: "A stream with stream_options is refused without saying why, where n is not given.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.UserAgent(), "langchainjs") {
				llamaV1.writeRefusal(w, invalid(codeBody, "", "The request is not valid."))
				return false
			}
			return true
		}),
	},
	{
		Name: "client-ai-sdk-stop-refused", Stage: "decode", Clauses: []string{"CLI-006"},
		Sentence: "A stop string that begins with a line break is refused.",
		arm: refusing("decode", func(_ *call, o *object) *refusal {
			if strings.HasPrefix(gjson.Get(o.get("stop"), "0").Str, "\n") {
				return invalid(codeRange, "stop", "stop cannot begin with a line break.")
			}
			return nil
		}),
	},
	{
		Name: "notebook-half-accepted", Stage: "http", Clauses: []string{"CLI-008", "STR-001"},
		Sentence: "The bare key opens the endpoint where stream is \"True\", and the answer is a document.",
		Seen:     "Azure Llama serverless, which the notebooks rely on",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if b := peek(r); !strings.Contains(r.Header.Get("Authorization"), " ") && gjson.GetBytes(b, "stream").Raw == `"True"` {
				r.Header.Set("Authorization", "Bearer "+r.Header.Get("Authorization"))
				put(r, edit(b, func(o *object) { o.remove("stream") }))
			}
			return true
		}),
	},
	{
		Name: "v1-version-refused", Stage: "http", Clauses: []string{"VER-004"},
		Sentence: "A path under /v1 with api-version is refused.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("api-version") && strings.HasPrefix(r.URL.Path, "/v1") && r.Header.Get("Authorization") != "" {
				llamaV1.writeRefusal(w, invalid(codeBody, "", "api-version is not known."))
				return false
			}
			return true
		}),
	},
	{
		Name: "v1-extra-header-read", Stage: "http", Clauses: []string{"EXT-010"},
		Sentence: "The header extra-parameters is read under /v1, and ignore_eos counts as extra.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Extra-Parameters") == "error" && strings.HasPrefix(r.URL.Path, "/v1") {
				llamaV1.writeRefusal(w, invalid(codeUnknown, "ignore_eos", "Extra parameters ['ignore_eos'] are not allowed when extra-parameters is not set or set to be 'error'."))
				return false
			}
			return true
		}),
	},
}

// infoDefects break the area INF, what the endpoint says of itself.
var infoDefects = []Defect{
	describes("openapi-html", "The OpenAPI document is a page of HTML.", []string{"INF-006"}, func(b []byte) []byte {
		return []byte("<html><body>docs</body></html>")
	}),
	describes("openapi-singular-paths", "The OpenAPI document lists a path that is not served.", []string{"INF-007"}, func(b []byte) []byte {
		return edit(b, func(o *object) {
			o.set("paths", string(edit([]byte(o.get("paths")), func(p *object) { p.set("/v1/chat/completion", p.get("/v1/chat/completions")) })))
		})
	}),
	describes("openapi-lacks-a-route", "The OpenAPI document does not list the completions route.", []string{"INF-008"}, func(b []byte) []byte {
		return edit(b, func(o *object) {
			o.set("paths", string(edit([]byte(o.get("paths")), func(p *object) { p.remove("/v1/completions") })))
		})
	}),
	describes("openapi-wrong-schema", "The OpenAPI document says that created is a string.", []string{"INF-009"}, func(b []byte) []byte {
		return component(b, "Created", `{"type":"string"}`)
	}),
	describes("openapi-wrong-bounds", "The OpenAPI document allows a top_p up to 5.", []string{"INF-010"}, func(b []byte) []byte {
		return component(b, "TopP", `{"type":"number","minimum":0,"maximum":5}`)
	}),
	{
		Name: "openapi-unstable", Stage: "http", Clauses: []string{"INF-011"},
		Sentence: "The OpenAPI document is another each time.",
		around: func(next http.Handler) http.Handler {
			var n atomic.Int64
			return bodies(isDocument, func(_ *http.Request, status int, _ http.Header, b []byte) (int, []byte) {
				if status != http.StatusOK {
					return status, b
				}
				return status, edit(b, func(o *object) { o.set("x-served", itoa(n.Add(1))) })
			})(next)
		},
	},
}

func isDocument(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".json") }

// describes is a defect of the OpenAPI document that is served.
func describes(name, sentence string, clauses []string, f func([]byte) []byte) Defect {
	return Defect{Name: name, Sentence: sentence, Stage: "http", Clauses: clauses,
		around: bodies(isDocument, func(_ *http.Request, status int, _ http.Header, b []byte) (int, []byte) {
			if status != http.StatusOK {
				return status, b
			}
			return status, f(b)
		})}
}

// component replaces a schema of the document.
func component(b []byte, name, raw string) []byte {
	return edit(b, func(o *object) {
		o.set("components", string(edit([]byte(o.get("components")), func(c *object) {
			c.set("schemas", string(edit([]byte(c.get("schemas")), func(s *object) { s.set(name, raw) })))
		})))
	})
}
