package reports

// An area is the verdicts on the clauses of one area.
type area struct {
	ID       string
	Title    string
	Counts   map[Status]int
	Verdicts []Verdict
}

// byArea gathers verdicts by area; areas stand in the order in which they
// first appear, verdicts in that of the document.
func byArea(r *Result) []*area {
	var all []*area
	known := make(map[string]*area)
	for _, v := range r.Verdicts {
		a := known[v.Area]
		if a == nil {
			a = &area{ID: v.Area, Title: r.Areas[v.Area], Counts: make(map[Status]int)}
			known[v.Area] = a
			all = append(all, a)
		}
		a.Counts[v.Verdict]++
		a.Verdicts = append(a.Verdicts, v)
	}
	return all
}
