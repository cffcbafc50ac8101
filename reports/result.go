package reports

import "time"

// Format names the layout of the result document; it changes when a reader
// of the old one could be misled.
const Format = "touchstone/result/v1"

// A Status is what a rule made of a clause.
type Status string

// The nine verdicts.
const (
	Pass         Status = "pass"         // evidence shows that the clause is kept
	Fail         Status = "fail"         // evidence shows that a MUST is broken
	Warn         Status = "warn"         // evidence shows that a SHOULD is broken
	Info         Status = "info"         // a MAY: what was seen is recorded
	Skip         Status = "skip"         // does not apply to this target
	Unsupported  Status = "unsupported"  // the target refuses the parameter and says so
	Inconclusive Status = "inconclusive" // could not be shown either way
	Waived       Status = "waived"       // broken, and accepted by the target's owner
	Error        Status = "error"        // the harness itself went wrong
)

// Statuses are the nine verdicts in the order in which reports show them.
var Statuses = []Status{Pass, Fail, Warn, Info, Skip, Unsupported, Inconclusive, Waived, Error}

// A Result is the document of one check, `result.json`.
type Result struct {
	// Format is always [Format].
	Format string `json:"format"`
	// Tool is the program that wrote the document.
	Tool Tool `json:"tool"`
	// Target is the endpoint that was judged.
	Target Target `json:"target"`
	// Profile is interop, strict or paper.
	Profile string `json:"profile"`
	// Started is when the run began.
	Started time.Time `json:"started"`
	// Seconds is the wall time of the run.
	Seconds float64 `json:"seconds"`
	// Interrupted is set when the run was cut short: what it had judged by
	// then stands here, the rest is inconclusive.
	Interrupted bool `json:"interrupted,omitempty"`
	// Lost says why the target could no longer be reached when the run ended,
	// if it could not: what was left to judge is inconclusive.
	Lost string `json:"lost,omitempty"`
	// Calibration is what was learned of the target before judging, in order.
	Calibration []Fact `json:"calibration,omitempty"`
	// Capabilities say what the target makes of optional parameters, as far as
	// the run has shown it.
	Capabilities []Capability `json:"capabilities,omitempty"`
	// Waivers say what became of the waivers of the run, in the order given.
	Waivers []Waiver `json:"waivers,omitempty"`
	// Areas gives areas a title, where the register has one: "STR": "Streaming".
	Areas map[string]string `json:"areas,omitempty"`
	// Verdicts holds one verdict a clause, in the order of the register.
	Verdicts []Verdict `json:"verdicts"`
	// Summary says what the verdicts come to.
	Summary Summary `json:"summary"`
	// Exchanges are the exchanges that findings and evidence lists point to,
	// by id, redacted.
	Exchanges map[string]Exchange `json:"exchanges,omitempty"`
}

// A Capability is what a target makes of an optional parameter on a route.
type Capability struct {
	// Parameter is its name.
	Parameter string `json:"parameter"`
	// Route is completions or chat.
	Route string `json:"route"`
	// Support is honoured, accepted, refused, silently ignored or unknown.
	Support string `json:"support"`
	// How says what the finding rests on.
	How string `json:"how,omitempty"`
	// Claimed is set when the owner says that the target honours it.
	Claimed bool `json:"claimed,omitempty"`
	// Exchange is the id of the exchange that shows it.
	Exchange string `json:"exchange,omitempty"`
}

// A Waiver is a clause whose breach the owner of the target accepts for a time.
type Waiver struct {
	// Clause is the id of the clause.
	Clause string `json:"clause"`
	// Reason is why the breach is accepted.
	Reason string `json:"reason"`
	// Until is the last day on which the waiver holds, as in 2027-01-31.
	Until string `json:"until"`
	// State is used (the clause is broken, and waived), ended (it is broken, and
	// gates again), stale (it is kept: the waiver can go) or idle (it was not
	// shown either way).
	State string `json:"state"`
}

// The states of a waiver.
const (
	WaiverUsed  = "used"
	WaiverEnded = "ended"
	WaiverStale = "stale"
	WaiverIdle  = "idle"
)

// A Tool names the program that wrote a document.
type Tool struct {
	// Name is touchstone.
	Name string `json:"name"`
	// Version is its release, or that of its source.
	Version string `json:"version"`
}

// A Target is the endpoint that was judged, without its key.
type Target struct {
	// URL is the base URL, to which routes are added.
	URL string `json:"url"`
	// Dialect is the API that was expected: llama-v1, azure-inference, openai.
	Dialect string `json:"dialect"`
	// Kind is what stands behind it, where that changes what is right:
	// serverless, managed, vllm, openai, reference.
	Kind string `json:"kind,omitempty"`
	// Model is the model that was asked for.
	Model string `json:"model,omitempty"`
}

// A Fact is something that calibration learned, or could not.
type Fact struct {
	// Name says what was to be learned.
	Name string `json:"name"`
	// Route is where it holds, if not everywhere.
	Route string `json:"route,omitempty"`
	// Value is what was learned, or why it could not be.
	Value string `json:"value"`
	// OK is whether it was learned; if not, rules that need it are
	// inconclusive.
	OK bool `json:"ok"`
}

// A Verdict is the judgement on one clause.
type Verdict struct {
	// Clause is the stable id, as in STR-009.
	Clause string `json:"clause"`
	// Area is the part of the contract that it belongs to, as in STR.
	Area string `json:"area"`
	// Level is MUST, SHOULD or MAY under the profile of the run.
	Level string `json:"level"`
	// Verdict is what the rule made of the evidence.
	Verdict Status `json:"verdict"`
	// Statement is the clause in words.
	Statement string `json:"statement"`
	// Source is where the contract says so.
	Source string `json:"source,omitempty"`
	// Reason says in a sentence why the verdict is what it is, where it is
	// not plainly pass.
	Reason string `json:"reason,omitempty"`
	// Findings are the proofs against the clause, or what was recorded.
	Findings []Finding `json:"findings,omitempty"`
	// Evidence lists the ids of the exchanges that were judged.
	Evidence []string `json:"evidence,omitempty"`
}

// A Finding is one proof: what was expected of an exchange and what was seen.
type Finding struct {
	// Exchange is the id of the exchange, in exchanges.
	Exchange string `json:"exchange,omitempty"`
	// Route is the route that was asked.
	Route string `json:"route,omitempty"`
	// Where points into the exchange: a JSON path, an event number, a header.
	Where string `json:"where,omitempty"`
	// Expected is what the clause wants there.
	Expected string `json:"expected"`
	// Seen is what was there.
	Seen string `json:"seen"`
	// Curl shows the request again; the key stands as an environment variable.
	Curl string `json:"curl,omitempty"`
}

// An Exchange is a recorded exchange as reports show it: text, redacted.
type Exchange struct {
	// Method is that of the request.
	Method string `json:"method"`
	// URL is that of the request.
	URL string `json:"url"`
	// RequestHeaders are lines as in "Name: value".
	RequestHeaders []string `json:"request_headers,omitempty"`
	// RequestBody is what was sent.
	RequestBody string `json:"request_body,omitempty"`
	// Status is that of the response; 0: there was none.
	Status int `json:"status,omitempty"`
	// ResponseHeaders are lines as in "Name: value".
	ResponseHeaders []string `json:"response_headers,omitempty"`
	// ResponseBody is what came back; of a stream, all its events.
	ResponseBody string `json:"response_body,omitempty"`
	// Error is what kept the response from coming, or from coming whole.
	Error string `json:"error,omitempty"`
	// Milliseconds is the time from the request to the end of the response.
	Milliseconds float64 `json:"milliseconds"`
}

// A Summary counts verdicts and says what the run means.
type Summary struct {
	// Counts has all nine verdicts as keys, also those that stand at 0.
	Counts map[Status]int `json:"counts"`
	// Requests is how many requests the run sent.
	Requests int `json:"requests"`
	// Tokens is the sum of usage.total_tokens that the target reported.
	Tokens int `json:"tokens"`
	// Conformant is whether something was judged, no gating clause failed and
	// the run came to its end.
	Conformant bool `json:"conformant"`
	// ExitCode is 0 conformant, 1 not, 3 nothing was judged or the target was
	// lost, 130 interrupted.
	ExitCode int `json:"exit_code"`
}
