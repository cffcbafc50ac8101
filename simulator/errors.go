package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// A refusal is an answer other than 200. How it is written is the dialect's
// affair.
type refusal struct {
	status  int
	kind    string // the type: what sort of thing is wrong
	message string // names the parameter and the fix
	param   string // the parameter, or "" for null
	code    string // stable, for programs; or "" for null
	header  http.Header
	input   string // the parameter as it was sent, "" for what is long or unknown
	// assessment says why a prompt was filtered; otherwise nil.
	assessment *assessment
}

func (r *refusal) Error() string { return r.message }

// A refusalShape is how a dialect says no.
type refusalShape struct {
	append func(b []byte, r *refusal) []byte
	// codeHeader, if any, repeats the code.
	codeHeader string
	// statuses are those that differ from the usual ones, by code.
	statuses map[string]int
}

func (s refusalShape) statusOf(r *refusal) int {
	if status, ok := s.statuses[r.code]; ok {
		return status
	}
	return r.status
}

// envelope is what every OpenAI client library can read (clauses ERR-002,
// ERR-004, ERR-006, ERR-012):
//
//	{"error":{"message":…,"type":…,"param":…,"code":…}}
var envelope = refusalShape{append: appendEnvelope}

func appendEnvelope(b []byte, r *refusal) []byte {
	b = append(b, `{"error":{"message":`...)
	b = appendString(b, r.message)
	b = append(b, `,"type":`...)
	b = appendStringOrNull(b, r.kind)
	b = append(b, `,"param":`...)
	b = appendStringOrNull(b, r.param)
	b = append(b, `,"code":`...)
	b = appendStringOrNull(b, r.code)
	if r.assessment != nil {
		b = append(b, `,"status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":`...)
		b = append(r.assessment.appendTo(b), '}')
	}
	return append(b, `}}`...)
}

// Codes of requests that are refused with 400.
const (
	codeBody        = "invalid_body"
	codeMissing     = "missing_parameter"
	codeUnknown     = "unknown_parameter"
	codeType        = "invalid_type"
	codeRange       = "out_of_range"
	codeCombination = "invalid_combination"
	codeContext     = "context_length_exceeded"
	codeUnsupported = "parameter_not_supported"
	codeExtra       = "extra_parameters_not_allowed"
	codeHeader      = "invalid_header"
	codeVersion     = "invalid_api_version"
)

// unsupported refuses a request that is well-formed, but that the model cannot
// honour (clauses ERR-007, VIS-002).
func unsupported(param, format string, args ...any) *refusal {
	return invalid(codeUnsupported, param, format, args...)
}

// azureError is Azure Core's error, and for what the model cannot honour also
// the flat one that the reference page shows (clauses ERR-003, ERR-007, ERR-008,
// conflicts C35, C36):
//
//	{"error":{"code":…,"message":…,"target":…},"status":422,"code":…,"message":…,"detail":{"loc":["body",…],"input":…}}
var azureError = refusalShape{
	append:     appendAzureError,
	codeHeader: "X-Ms-Error-Code",
	statuses:   map[string]int{codeUnsupported: http.StatusUnprocessableEntity},
}

func appendAzureError(b []byte, r *refusal) []byte {
	if r.assessment != nil {
		return appendEnvelope(b, r) // as the service writes it (conflict C39)
	}
	b = append(b, `{"error":{"code":`...)
	b = appendString(b, r.code)
	b = append(b, `,"message":`...)
	b = appendString(b, r.message)
	if r.param != "" {
		b = append(b, `,"target":`...)
		b = appendString(b, r.param)
	}
	b = append(b, '}')
	if r.code == codeUnsupported {
		b = append(b, `,"status":422,"code":`...)
		b = appendString(b, r.code)
		b = append(b, `,"message":`...)
		b = appendString(b, r.message)
		b = append(b, `,"detail":{"loc":["body",`...)
		b = appendString(b, r.param)
		b = append(b, `],"input":`...)
		b = append(b, cmp.Or(r.input, "null")...)
		b = append(b, '}')
	}
	return append(b, '}')
}

// invalid refuses a request that the client can mend (clause ERR-015).
func invalid(code, param, format string, args ...any) *refusal {
	return &refusal{
		status:  http.StatusBadRequest,
		kind:    "invalid_request_error",
		message: fmt.Sprintf(format, args...),
		param:   param,
		code:    code,
	}
}

// refuse refuses a request by a status other than 400.
func refuse(status int, code, format string, args ...any) *refusal {
	r := invalid(code, "", format, args...)
	r.status = status
	return r
}

func unauthorized(message string) *refusal {
	r := refuse(http.StatusUnauthorized, "invalid_api_key", "%s", message)
	r.kind = "authentication_error"
	r.header = http.Header{"Www-Authenticate": {`Bearer realm="touchstone"`}} // AUT-010
	return r
}

func notFound(path string, routes []string) *refusal {
	return refuse(http.StatusNotFound, "not_found", "There is nothing at %s. The routes are %s.",
		clip(path), strings.Join(routes, ", "))
}

func methodNotAllowed(method, path, allow string) *refusal {
	r := refuse(http.StatusMethodNotAllowed, "method_not_allowed", "%s does not answer %s; send %s.",
		path, clip(method), allow)
	r.header = http.Header{"Allow": {allow}} // REQ-002
	return r
}

// internal tells the client that the fault is ours, and nothing else (ERR-010).
func internal() *refusal {
	return &refusal{
		status:  http.StatusInternalServerError,
		kind:    "server_error",
		message: "The server failed to answer this request.",
		code:    "internal_error",
	}
}

// mostShown is how many bytes of what a client sent are shown to it.
const mostShown = 64

// clip shortens what a client sent, for quoting in a message.
func clip(s string) string {
	if len(s) <= mostShown {
		return s
	}
	return strings.ToValidUTF8(s[:mostShown], "") + "…"
}
