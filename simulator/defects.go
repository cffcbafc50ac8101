package simulator

import (
	"net/http"
	"slices"
)

// A Defect is a named way in which the simulator breaks the contract.
type Defect struct {
	// Name is what --defect takes, such as "done-missing".
	Name string `json:"name"`
	// Sentence says what the server does wrong.
	Sentence string `json:"sentence"`
	// Stage is where it hooks into the flow.
	Stage string `json:"stage"`
	// Clauses must catch it: these fail, and no others.
	Clauses []string `json:"clauses"`
	// Perhaps may fail as well, by what happened to be drawn.
	Perhaps []string `json:"perhaps,omitempty"`
	// Dialects are those on which its clauses must fail, of [Dialects]: each that
	// is in force there. None is llama-v1. A defect of a dialect's own routes,
	// headers or parameters names that dialect; elsewhere it does no harm.
	Dialects []string `json:"dialects,omitempty"`
	// Seen cites a real server that did this, or is empty.
	Seen string `json:"seen,omitempty"`

	// around, if not nil, stands between the client and the server: for what is
	// wrong before a route is found, or after an answer is written.
	around func(next http.Handler) http.Handler
	// arm starts the defect for one server, with any state that it keeps
	// between calls, and returns what it does to each call. It may be nil beside around.
	arm func() arming
}

// An arming adds the hooks of a defect to a call.
type arming func(*call)

// register holds the defects in the order of the contract's areas; those of
// single dialects come last.
var register = slices.Concat(
	requestDefects,
	chatDefects,
	responseDefects,
	finishDefects,
	streamDefects,
	candidateDefects,
	beamDefects,
	logprobDefects,
	stopDefects,
	eosDefects,
	usageDefects,
	contextDefects,
	safetyDefects,
	limitDefects,
	determinismDefects,
	authDefects,
	errorDefects,
	infoDefects,
	toolDefects,
	imageDefects,
	azureDefects,
	openAIDefects,
)

// Defects returns every defect that the simulator knows, in the order of the
// areas of the contract; those of single dialects come last.
func Defects() []Defect { return slices.Clone(register) }

// JudgedOn are the dialects on which the clauses of d must fail.
func (d Defect) JudgedOn() []string {
	if len(d.Dialects) == 0 {
		return []string{llamaV1.name}
	}
	return d.Dialects
}

// distance is how many characters must be added, removed or replaced to turn a
// into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
