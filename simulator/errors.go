package simulator

import (
	"fmt"
	"net/http"
	"strings"
)

// A refusal is an answer other than 200. Its body is the envelope that every
// OpenAI client library can read (clauses ERR-002, ERR-006, ERR-012):
//
//	{"error":{"message":…,"type":…,"param":…,"code":…}}
type refusal struct {
	status  int
	kind    string // the type: what sort of thing is wrong
	message string // names the parameter and the fix
	param   string // the parameter, or "" for null
	code    string // stable, for programs; or "" for null
	header  http.Header
}

func (r *refusal) Error() string { return r.message }

// appendTo appends the envelope.
func (r *refusal) appendTo(b []byte) []byte {
	b = append(b, `{"error":{"message":`...)
	b = appendString(b, r.message)
	b = append(b, `,"type":`...)
	b = appendString(b, r.kind)
	b = append(b, `,"param":`...)
	b = appendStringOrNull(b, r.param)
	b = append(b, `,"code":`...)
	b = appendStringOrNull(b, r.code)
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
)

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

// clip shortens what a client sent, for quoting in a message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
