package simulator

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/touchstone-llm/touchstone/engine"
)

// onAzure are the dialects of what azure-inference alone has.
var onAzure = []string{azureInference.name}

// azureDefects show on azure-inference alone: its headers, its pages and the
// parameters that only it has.
var azureDefects = []Defect{
	{
		Name: "azure-default-300", Stage: "generate", Clauses: []string{"REQ-036"}, Dialects: onAzure,
		Sentence: "Without max_tokens a completion goes on for 300 tokens.",
		arm: asked(func(c *call, r *engine.Request) {
			if c.route.name == "completions" && !c.values.given("max_tokens") {
				r.MaxTokens, r.IgnoreEOS = 300, true
			}
		}),
	},
	{
		Name: "max-tokens-null-16", Stage: "decode", Clauses: []string{"REQ-037"}, Dialects: onAzure,
		Sentence: "A null max_tokens is 16, and an absent one the rest of the context.",
		arm:      rewrite(instead("max_tokens", "null", "16")),
	},
	{
		Name: "azure-temperature-500", Stage: "decode", Clauses: []string{"REQ-053", "ERR-009"}, Dialects: onAzure,
		Sentence: "A temperature between 1 and 2 is answered with 500.",
		arm:      fails(func(c *call) bool { return gjson.GetBytes(c.body, "temperature").Raw == "1.5" }),
	},
	{
		Name: "extra-default-drops", Stage: "extra", Clauses: []string{"EXT-001"}, Dialects: onAzure,
		Sentence: "Without the header extra-parameters an unknown parameter is dropped.",
		arm: before("extra", func(c *call) {
			if c.header.Get("Extra-Parameters") == "" {
				c.document = slices.DeleteFunc(c.document, func(m member) bool { _, known := c.route.parameter(m.name); return !known })
			}
		}),
	},
	{
		Name: "extra-error-drops", Stage: "extra", Clauses: []string{"EXT-002"}, Dialects: onAzure,
		Sentence: "extra-parameters error drops unknown parameters.",
		arm:      extraPolicyIs(map[string]string{"error": "drop"}),
	},
	{
		Name: "extra-drop-refuses", Stage: "extra", Clauses: []string{"EXT-003", "EXT-007"}, Dialects: onAzure,
		Sentence: "extra-parameters drop refuses unknown parameters.",
		arm:      extraPolicyIs(map[string]string{"drop": "error"}),
	},
	{
		Name: "extra-pass-through-drops", Stage: "extra", Clauses: []string{"EXT-004", "EXT-011", "RSP-013", "LOG-023"}, Dialects: onAzure,
		Sentence: "extra-parameters pass-through drops what is extra.",
		arm:      extraPolicyIs(map[string]string{"pass-through": "drop"}),
	},
	{
		Name: "extra-known-dropped", Stage: "extra", Clauses: []string{"EXT-004"}, Dialects: onAzure,
		Sentence: "ignore_eos is dropped where it is passed through.",
		arm: rewrite(func(c *call, o *object) {
			if c.header.Get("Extra-Parameters") == "pass-through" {
				o.remove("ignore_eos")
			}
		}),
	},
	{
		Name: "extra-unknown-500", Stage: "extra", Clauses: []string{"EXT-005", "ERR-009"}, Dialects: onAzure,
		Sentence: "A parameter that is passed through and that the model does not know is answered with 500.",
		arm: fails(func(c *call) bool {
			return c.header.Get("Extra-Parameters") == "pass-through" && gjson.GetBytes(c.body, "zzz_touchstone").Exists()
		}),
	},
	{
		Name: "extra-policy-any", Stage: "extra", Clauses: []string{"EXT-006"}, Dialects: onAzure,
		Sentence: "Values of extra-parameters that do not exist are read as drop.",
		arm:      extraPolicyIs(map[string]string{"ignore": "drop", "allow": "drop", "PASS-THROUGH": "drop"}),
	},
	{
		Name: "extra-seed", Stage: "extra", Clauses: []string{"EXT-008"}, Dialects: onAzure,
		Sentence: "With extra-parameters error the parameter seed counts as extra.",
		arm: refusing("extra", func(c *call, o *object) *refusal {
			if c.header.Get("Extra-Parameters") == "error" && o.get("seed") != "" {
				return invalid(codeExtra, "seed", "Extra parameters ['seed'] are not allowed when extra-parameters is not set or set to be 'error'.")
			}
			return nil
		}),
	},
	{
		Name: "extra-names-one", Stage: "wire", Clauses: []string{"EXT-009"}, Dialects: onAzure,
		Sentence: "The refusal of extra parameters names the first only.",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.code != codeExtra {
				return b
			}
			return laterNames.ReplaceAll(b, []byte("$1"))
		}),
	},
	{
		Name: "extra-n-by-default", Stage: "extra", Clauses: []string{"EXT-011"}, Dialects: onAzure,
		Sentence: "n is accepted without the header extra-parameters.",
		arm: before("extra", func(c *call) {
			if _, sent := c.document.get("n"); sent && c.header.Get("Extra-Parameters") == "" {
				c.header = c.header.Clone()
				c.header.Set("Extra-Parameters", "pass-through")
			}
		}),
	},
	{
		Name: "extra-in-messages", Stage: "extra", Clauses: []string{"EXT-012"}, Dialects: onAzure,
		Sentence: "A name in a message counts as an extra parameter.",
		arm: refusing("extra", func(c *call, o *object) *refusal {
			if len(gjson.Get(o.get("messages"), "#.name").Array()) > 0 {
				return invalid(codeExtra, "name", "Extra parameters ['name'] are not allowed when extra-parameters is not set or set to be 'error'.")
			}
			return nil
		}),
	},
	{
		Name: "extra-drop-drops-all", Stage: "extra", Clauses: []string{"EXT-013"}, Dialects: onAzure,
		Sentence: "extra-parameters drop drops a response_format that the model cannot honour.",
		arm: before("extra", func(c *call) {
			if c.header.Get("Extra-Parameters") == "drop" {
				c.document = slices.DeleteFunc(c.document, func(m member) bool { return m.name == "response_format" })
			}
		}),
	},
	{
		Name: "extra-twice-500", Stage: "extra", Clauses: []string{"EXT-014", "ERR-009"}, Dialects: onAzure,
		Sentence: "The header extra-parameters given twice is answered with 500.",
		arm:      fails(func(c *call) bool { return len(c.header.Values("Extra-Parameters")) > 1 }),
	},
	{
		Name: "version-optional", Stage: "http", Clauses: []string{"VER-001"}, Dialects: onAzure,
		Sentence: "A request without api-version is answered.",
		around:   versionBecomes("2024-05-01-preview", func(v []string) bool { return len(v) == 0 }),
	},
	{
		Name: "version-any", Stage: "http", Clauses: []string{"VER-002"}, Dialects: onAzure,
		Sentence: "Any api-version is served.",
		around:   versionBecomes("2024-05-01-preview", func(v []string) bool { return len(v) > 0 }),
	},
	{
		Name: "version-of-documents-unknown", Stage: "http", Clauses: []string{"VER-003"}, Dialects: onAzure,
		Sentence: "The api-version of the documents is not served, only that of the SDKs.",
		around:   versionBecomes("none", func(v []string) bool { return slices.Contains(v, "2024-04-01-preview") }),
	},
	{
		Name: "system-message-dropped", Stage: "decode", Clauses: []string{"CHT-024"}, Dialects: onAzure,
		Sentence: "A system message before others does not reach the model.",
		arm: rewrite(func(_ *call, o *object) {
			if m := gjson.Parse(o.get("messages")).Array(); len(m) == 2 && m[0].Get("role").Str == "system" {
				o.set("messages", "["+m[1].Raw+"]")
			}
		}),
	},
	{
		Name: "api-key-unread", Stage: "auth", Clauses: []string{"AUT-006"}, Dialects: onAzure,
		Sentence: "The header api-key is not read.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Api-Key")
			return true
		}),
	},
	{
		Name: "info-open", Stage: "auth", Clauses: []string{"AUT-012"}, Dialects: onAzure,
		Sentence: "Model information and the OpenAPI document need no key.",
		Seen:     "vllm#18893: the key guards only /v1",
		around: lend(func(_ string, r *http.Request) bool {
			return r.Header.Get("Authorization") == "" && r.Method == http.MethodGet
		}),
	},
	{
		Name: "error-code-header-missing", Stage: "http", Clauses: []string{"AUT-018"}, Dialects: onAzure,
		Sentence: "Refusals do not carry x-ms-error-code.",
		around: statuses(func(_ *http.Request, status int, h http.Header) int {
			h.Del("X-Ms-Error-Code")
			return status
		}),
	},
	{
		Name: "client-request-id-dropped", Stage: "http", Clauses: []string{"RSP-025"}, Dialects: onAzure,
		Sentence: "x-ms-client-request-id is not sent back.",
		around: statuses(func(_ *http.Request, status int, h http.Header) int {
			h.Del("X-Ms-Client-Request-Id")
			return status
		}),
	},
	{
		Name: "error-code-header-other", Stage: "http", Clauses: []string{"ERR-016"}, Dialects: onAzure,
		Sentence: "x-ms-error-code is BadRequest, whatever the code in the body.",
		around: statuses(func(_ *http.Request, status int, h http.Header) int {
			if h.Get("X-Ms-Error-Code") != "" {
				h.Set("X-Ms-Error-Code", "BadRequest")
			}
			return status
		}),
	},
	{
		Name: "error-reason", Stage: "wire", Clauses: []string{"ERR-003", "CLI-009"}, Dialects: onAzure,
		Sentence: "A top_p out of range is refused with a reason where the message should be.",
		arm: refusedBodies(func(r *refusal, b []byte) []byte {
			if r.param != "top_p" || r.code != codeRange {
				return b
			}
			return []byte(`{"reason":` + quote(r.message) + `}`)
		}),
	},
	{
		Name: "response-format-ignored", Stage: "decode", Clauses: []string{"EXT-013", "FMT-003", "FMT-004"}, Dialects: onAzure,
		Sentence: "response_format is accepted and has no effect.",
		arm:      rewrite(func(_ *call, o *object) { o.remove("response_format") }),
	},
	{
		Name: "unsupported-unnamed", Stage: "type", Clauses: []string{"ERR-008"}, Dialects: onAzure,
		Sentence: "What the model cannot honour is refused without a name.",
		arm: refusing("type", func(_ *call, o *object) *refusal {
			if gjson.Get(o.get("response_format"), "type").Str != "json_object" {
				return nil
			}
			bad := invalid("invalid_request", "", "The request asks for what this model cannot do.")
			bad.status = http.StatusUnprocessableEntity
			return bad
		}),
	},
	{
		Name: "embeddings-400", Stage: "http", Clauses: []string{"ERR-014"}, Dialects: onAzure,
		Sentence: "The route of embeddings, which the model does not make, answers 400.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/embeddings" && r.Header.Get("Authorization") != "" {
				azureInference.writeRefusal(w, invalid(codeBody, "", "The model makes no embeddings."))
				return false
			}
			return true
		}),
	},
	{
		Name: "filter-inner-code", Stage: "wire", Clauses: []string{"SAF-003"}, Dialects: onAzure,
		Sentence: "innererror of a filtered prompt has another code.",
		arm:      filteredBody("ResponsibleAIPolicyViolation", "ContentFilter"),
	},
	{
		Name: "filter-severity-number", Stage: "wire", Clauses: []string{"SAF-004"}, Dialects: onAzure,
		Sentence: "The severity of a category is a number.",
		arm:      filteredBody(`"severity":"safe"`, `"severity":0`),
	},
	{
		Name: "filter-nothing-filtered", Stage: "wire", Clauses: []string{"SAF-005"}, Dialects: onAzure,
		Sentence: "A prompt is refused for its content, and no category is filtered.",
		arm:      filteredBody(`"filtered":true`, `"filtered":false`),
	},
	{
		Name: "filter-safe-filtered", Stage: "wire", Clauses: []string{"SAF-006"}, Dialects: onAzure,
		Sentence: "Every category of a refusal is filtered, the safe ones too.",
		arm:      filteredBody(`"filtered":false`, `"filtered":true`),
	},
	{
		Name: "filter-results-without-index", Stage: "shape", Clauses: []string{"SAF-014"}, Dialects: onAzure,
		Sentence: "prompt_filter_results do not say of which prompt they are.",
		arm: answers(func(_ *call, o *object) {
			o.set("prompt_filter_results", strings.ReplaceAll(o.get("prompt_filter_results"), `"prompt_index":0,`, ""))
		}),
	},
	informs("info-without-provider", "/info does not say who provides the model.", "INF-001", func(o *object) { o.remove("model_provider_name") }),
	informs("info-type-unknown", "/info says that the model is of a type that is not documented.", "INF-002", func(o *object) { o.set("model_type", `"llm"`) }),
	informs("info-type-embeddings", "/info says that the model makes embeddings.", "INF-003", func(o *object) { o.set("model_type", `"embeddings"`) }),
	informs("info-name-other", "/info names another model than the answers.", "INF-004", func(o *object) { o.set("model_name", `"another"`) }),
	{
		Name: "info-by-post", Stage: "http", Clauses: []string{"INF-005"}, Dialects: onAzure,
		Sentence: "/info answers POST as it answers GET.",
		around: requests(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/info" {
				r.Method = http.MethodGet
			}
			return true
		}),
	},
	{
		Name: "client-azure-refused", Stage: "http", Clauses: []string{"CLI-007"}, Dialects: onAzure,
		Sentence: "A request that names itself, as Azure's clients do, is refused.",
		around: requests(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.UserAgent(), "azsdk-") {
				azureInference.writeRefusal(w, invalid(codeBody, "", "The request has headers that are not allowed."))
				return false
			}
			return true
		}),
	},
	{
		Name: "azure-request-id-missing", Dialects: onAzure, Stage: "wire", Clauses: []string{"RSP-024"},
		Sentence: "Answers have no x-ms-request-id.",
		arm: headers(func(_ *call, h http.Header) {
			for _, name := range []string{"X-Ms-Request-Id", "X-Request-Id", "Apim-Request-Id"} {
				h.Del(name)
			}
		}),
	},
	{
		Name: "azure-logprobs-known", Dialects: onAzure, Stage: "extra", Clauses: []string{"LOG-023"},
		Sentence: "logprobs is no extra parameter of the chat route.",
		arm:      rewrite(instead("logprobs", "true", "")),
	},
	{
		Name: "azure-ignore-eos-known", Dialects: onAzure, Stage: "extra", Clauses: []string{"EOS-007"},
		Sentence: "ignore_eos is ignored where it is not passed through.",
		arm: rewrite(func(c *call, o *object) {
			if c.header.Get("Extra-Parameters") == "" {
				o.remove("ignore_eos")
			}
		}),
	},
}

// laterNames are the names after the first in a refusal of extra parameters.
var laterNames = regexp.MustCompile(`(\['[^']*')(, '[^']*')+`)

// extraPolicyIs reads values of the header extra-parameters as others.
func extraPolicyIs(others map[string]string) func() arming {
	return before("extra", func(c *call) {
		given := c.header.Values("Extra-Parameters")
		if len(given) != 1 || others[given[0]] == "" {
			return
		}
		c.header = c.header.Clone()
		c.header.Set("Extra-Parameters", others[given[0]])
	})
}

// versionBecomes gives the inference requests whose api-version matches another
// one.
func versionBecomes(version string, matches func(given []string) bool) func(http.Handler) http.Handler {
	return requests(func(_ http.ResponseWriter, r *http.Request) bool {
		if q := r.URL.Query(); isInference(r.URL.Path) && matches(q["api-version"]) {
			q.Set("api-version", version)
			r.URL.RawQuery = q.Encode()
		}
		return true
	})
}

// filteredBody replaces a text in the refusals of filtered prompts.
func filteredBody(old, instead string) func() arming {
	return refusedBodies(func(r *refusal, b []byte) []byte {
		if r.assessment == nil {
			return b
		}
		return bytes.ReplaceAll(b, []byte(old), []byte(instead))
	})
}

// informs is a defect of what /info says.
func informs(name, sentence, clause string, f func(*object)) Defect {
	return Defect{Name: name, Sentence: sentence, Stage: "http", Clauses: []string{clause}, Dialects: onAzure,
		around: bodies(
			func(r *http.Request) bool { return r.URL.Path == "/info" },
			func(_ *http.Request, status int, _ http.Header, b []byte) (int, []byte) {
				if status != http.StatusOK {
					return status, b
				}
				return status, edit(b, f)
			})}
}
