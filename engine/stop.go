package engine

import "strings"

// A stopFinder holds back text that may be part of a stop string. The text ends
// before the stop string that begins first, wherever tokens begin and end and
// in whatever order the strings are given; so a match is not decided while
// another one that began earlier may still be completed.
type stopFinder struct {
	stops []string // none empty
	held  string   // text that is not decided yet
	past  int      // bytes of held; a match that ends within them is none
}

// pass adds text in which a complete match does not count.
func (f *stopFinder) pass(text string) (decided string) {
	f.held += text
	f.past = len(f.held)
	return f.decide(f.partial())
}

// decide takes the first n bytes of the held text.
func (f *stopFinder) decide(n int) (decided string) {
	decided, f.held = f.held[:n], f.held[n:]
	f.past = max(0, f.past-n)
	return decided
}

// write adds text and returns what is decided now. With found, a match begins
// after it, and the rest is of no interest.
func (f *stopFinder) write(text string) (decided string, found bool) {
	f.held += text
	match := f.match()
	partial := f.partial()
	if match >= 0 && match <= partial {
		return f.held[:match], true
	}
	return f.decide(partial), false
}

// flush returns the rest of the text, which ends here. A match may be in it
// that waited for an earlier one.
func (f *stopFinder) flush() (decided string, found bool) {
	if i := f.match(); i >= 0 {
		return f.held[:i], true
	}
	return f.decide(len(f.held)), false
}

// match returns where the first match in the held text begins, -1 if none.
func (f *stopFinder) match() int {
	first := -1
	for _, s := range f.stops {
		held := f.held
		if first >= 0 { // one that begins earlier ends before this
			held = held[:min(len(held), first+len(s)-1)]
		}
		from := min(max(0, f.past-len(s)+1), len(held))
		if i := strings.Index(held[from:], s); i >= 0 {
			first = from + i
		}
	}
	return first
}

// partial returns where the first beginning of a stop string begins that
// reaches to the end of the held text; its length if there is none.
func (f *stopFinder) partial() int {
	first := len(f.held)
	for _, s := range f.stops {
		for i := max(0, len(f.held)-len(s)+1); i < first; i++ {
			if strings.HasPrefix(s, f.held[i:]) {
				first = i
			}
		}
	}
	return first
}
