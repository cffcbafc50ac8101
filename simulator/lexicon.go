package simulator

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// The built-in classifier reads words, not minds: it is meant to be triggered on
// purpose and not by accident. No single word triggers it. A text is graded by
// an act near the one whom it hurts: mostly low, as in any novel, and high where
// a word of intent goes before, as in "how to" or "I want to".

// A cue is a word of one list followed by a word of the other.
type cue struct {
	category      int
	first, second []string
	reach         int // words that may stand between
	plain         severity
	intended      severity // after a word of intent
}

const (
	hate = iota
	selfHarm
	sexual
	violence
)

var intents = []string{
	"how to", "how do i", "how can i", "how would i", "how do you", "teach me", "instructions", "step by step", "explain how",
	"ways to", "best way to", "tell me how", "guide to", "i want to", "i'm going to",
}

// intentReach is how many words an intent raises.
const intentReach = 12

var (
	peopleWords = []string{
		"people", "person", "someone", "somebody", "everyone", "everybody", "man", "men", "woman", "women",
		"child", "children", "kid", "kids", "neighbor", "neighbour", "neighbors", "neighbours", "wife", "husband", "teacher",
		"classmates", "coworkers", "crowd", "family", "stranger", "strangers", "human", "humans", "civilians", "victim", "victims",
	}
	groupWords = []string{
		"women", "men", "jews", "muslims", "christians", "hindus", "immigrants", "foreigners", "refugees", "gays", "lesbians",
		"arabs", "asians", "africans", "mexicans", "gypsies", "minorities", "homosexuals",
	}
	selfWords = []string{"myself", "yourself", "themselves", "himself", "herself", "ourselves"}
)

var cues = []cue{
	{violence, []string{"kill", "killing", "murder", "murdering", "stab", "stabbing", "strangle", "torture", "torturing", "behead", "poison", "massacre", "slaughter"}, peopleWords, 2, low, high},
	{violence, []string{"build", "make", "making", "construct", "assemble"}, []string{"bomb", "pipe bomb", "car bomb", "explosive", "explosives", "grenade", "nerve gas"}, 1, low, high},
	{violence, []string{"tortured", "beheaded", "dismembered", "slaughtered"}, peopleWords, 2, medium, high},
	{hate, []string{"hate", "despise", "exterminate", "enslave"}, groupWords, 1, medium, high},
	{hate, groupWords, []string{"inferior", "subhuman", "vermin", "parasites", "filth", "cockroaches"}, 2, medium, high},
	{selfHarm, []string{"kill", "killing"}, selfWords, 0, medium, high},
	{selfHarm, []string{"hurt", "hurting", "cut", "cutting", "harm", "harming", "hang", "poison", "starve"}, selfWords, 0, low, high},
	{selfHarm, []string{"commit", "committing", "attempt", "attempting"}, []string{"suicide"}, 0, medium, high},
	{selfHarm, []string{"end", "ending"}, []string{"my life", "my own life"}, 0, low, high},
	{sexual, []string{"explicit", "graphic", "hardcore"}, []string{"sex", "porn", "pornography", "erotica"}, 1, medium, high},
	{sexual, []string{"erotic", "pornographic"}, []string{"story", "scene", "fantasy", "video", "images"}, 1, low, medium},
}

// mostSecond is the length in words of the longest second half of a cue.
const mostSecond = 3

// testPhrase begins what triggers a category on purpose, in the way of the
// EICAR test file: touchstone-safety-test-violence-high.
const testPhrase = "touchstone safety test"

// A phrase is a row of words that means something.
type phrase struct {
	words    []string
	kind     phraseKind
	index    int // of the cue or the block list; the category of a test
	severity severity
}

type phraseKind int

const (
	firstHalf phraseKind = iota
	secondHalf
	intent
	test
	listed
)

// held says whether text must wait until it is known that this is not it.
func (p *phrase) held() bool { return p.kind != secondHalf && p.kind != intent }

// A lexicon knows what a scan looks for.
type lexicon struct {
	lists    []BlockList
	byFirst  map[string][]*phrase
	prefixes map[string]bool // of the first words of phrases that are held
	firsts   lengths         // of byFirst
	starts   lengths         // of prefixes
}

// lengths are those of some words by their first and last bytes, as bits: most
// words need not be looked up.
type lengths [256]uint64

func (l *lengths) add(word string) { l[ends(word[0], word[len(word)-1])] |= 1 << min(len(word), 63) }

func (l *lengths) may(word []byte) bool { return l.has(word[0], word[len(word)-1], len(word)) }

func (l *lengths) has(first, last byte, length int) bool {
	return l[ends(first, last)]>>min(length, 63)&1 != 0
}

func ends(first, last byte) byte { return first*9 + last }

func newLexicon(lists []BlockList) *lexicon {
	l := &lexicon{lists: lists, byFirst: map[string][]*phrase{}, prefixes: map[string]bool{}}
	for i, c := range cues {
		l.add(c.first, phrase{kind: firstHalf, index: i})
		l.add(c.second, phrase{kind: secondHalf, index: i})
	}
	l.add(intents, phrase{kind: intent})
	for i, name := range categories {
		for s := low; s <= high; s++ {
			l.add([]string{testPhrase + " " + name + " " + s.String()}, phrase{kind: test, index: i, severity: s})
		}
	}
	for i, list := range lists {
		l.add(list.Terms, phrase{kind: listed, index: i})
	}
	return l
}

func (l *lexicon) add(texts []string, p phrase) {
	for _, text := range texts {
		p.words = wordsOf(text)
		row := p
		l.byFirst[p.words[0]] = append(l.byFirst[p.words[0]], &row)
		l.firsts.add(p.words[0])
		if p.held() {
			for i, r := range p.words[0] {
				prefix := p.words[0][:i+utf8.RuneLen(r)]
				l.prefixes[prefix] = true
				l.starts.add(prefix)
			}
		}
	}
}

// unknown is the length of the first word of text, if that is whole and begins
// nothing that is looked for, as most do; otherwise 0.
func (l *lexicon) unknown(text string) int {
	n := 1
	for n < len(text) && lowered[text[n]] != 0 {
		n++
	}
	if n == len(text) || text[n] >= utf8.RuneSelf || l.firsts.has(lowered[text[0]], lowered[text[n-1]], n) {
		return 0
	}
	return n
}

// wordsOf splits text into words in lower case. A character of a script that
// writes no spaces between words, or glues endings to them, is a word.
func wordsOf(text string) []string {
	var words []string
	var word []byte
	end := func() {
		if len(word) > 0 {
			words = append(words, string(word))
			word = word[:0]
		}
	}
	for _, r := range text {
		switch {
		case !inWord(r):
			end()
		case alone(r):
			end()
			words = append(words, string(r))
		default:
			word = utf8.AppendRune(word, unicode.ToLower(r))
		}
	}
	end()
	return words
}

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '\''
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd)
}

// lowered is what of ASCII stands in words, in lower case; 0 for the rest.
var lowered = func() (table [256]byte) {
	for c := range utf8.RuneSelf {
		if r := rune(c); inWord(r) {
			table[c] = byte(unicode.ToLower(r))
		}
	}
	return table
}()

func alone(r rune) bool {
	return r >= utf8.RuneSelf && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai)
}

// A scan reads a text that grows.
type scan struct {
	lexicon    *lexicon
	threshold  severity
	assessment *assessment

	length   int    // bytes read
	word     []byte // the unfinished word, in lower case
	wordAt   int    // where it starts
	count    int    // words read
	intended int    // the last word that an intent raises
	open     []opening
	sights   []sight
	hit      bool
	hitAt    int
}

// An opening is a phrase of which some words were read.
type opening struct {
	*phrase
	read int
	at   int // where it starts, in bytes
}

// A sight is the first half of a cue.
type sight struct {
	cue      int
	at       int // in bytes
	last     int // its last word
	intended bool
}

// A scanRoom is as large as most texts need.
type scanRoom struct {
	word [24]byte
	open [16]opening
}

// scan begins to read; what is found is added to a.
func (l *lexicon) scan(threshold severity, a *assessment, room *scanRoom) scan {
	return scan{lexicon: l, threshold: threshold, assessment: a, word: room.word[:0], open: room.open[:0]}
}

// add reads more text. It returns how many bytes from the start are clear:
// nothing that may follow can make them a part of what is filtered. With hit,
// that is where what is filtered begins, and the scan is over.
func (s *scan) add(text string) (clear int, hit bool) {
	for i := 0; i < len(text) && !s.hit; {
		if c := lowered[text[i]]; c != 0 { // a letter or digit of ASCII, as nearly always
			if len(s.word) == 0 {
				if len(s.open) == 0 && len(s.sights) == 0 {
					if n := s.lexicon.unknown(text[i:]); n > 0 {
						s.count++
						i += n
						s.length += n
						continue
					}
				}
				s.wordAt = s.length
			}
			s.word = append(s.word, c)
			i++
			s.length++
			continue
		}
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		single := alone(r)
		if single || !inWord(r) {
			s.endWord()
		}
		if inWord(r) {
			if len(s.word) == 0 {
				s.wordAt = s.length
			}
			s.word = utf8.AppendRune(s.word, unicode.ToLower(r))
		}
		i += size
		s.length += size
		if single {
			s.endWord()
		}
	}
	return s.clear(), s.hit
}

// finish ends the text.
func (s *scan) finish() (clear int, hit bool) {
	s.endWord()
	if s.hit {
		return s.hitAt, true
	}
	return s.length, false
}

func (s *scan) clear() int {
	if s.hit {
		return s.hitAt
	}
	clear := s.length
	for _, x := range s.sights {
		clear = min(clear, x.at)
	}
	for _, o := range s.open {
		if o.held() {
			clear = min(clear, o.at)
		}
	}
	if len(s.word) > 0 && s.lexicon.starts.may(s.word) && s.lexicon.prefixes[string(s.word)] {
		clear = min(clear, s.wordAt)
	}
	return clear
}

// endWord goes on with the phrases that are open, and opens others.
func (s *scan) endWord() {
	if len(s.word) == 0 || s.hit {
		return
	}
	s.count++
	var starting []*phrase
	if s.lexicon.firsts.may(s.word) {
		starting = s.lexicon.byFirst[string(s.word)]
	}
	if starting == nil && len(s.open) == 0 && len(s.sights) == 0 {
		s.word = s.word[:0]
		return
	}
	open := s.open[:0]
	for _, o := range s.open {
		if o.words[o.read] != string(s.word) {
			continue
		}
		if o.read++; o.read == len(o.words) {
			s.see(o)
		} else {
			open = append(open, o)
		}
	}
	s.open = open
	for _, p := range starting {
		if o := (opening{p, 1, s.wordAt}); len(p.words) == 1 {
			s.see(o)
		} else {
			s.open = append(s.open, o)
		}
	}
	s.sights = slices.DeleteFunc(s.sights, func(x sight) bool { return s.count-x.last > cues[x.cue].reach+mostSecond-1 })
	s.word = s.word[:0]
}

// see notes a phrase that was read to its end.
func (s *scan) see(o opening) {
	first := s.count - len(o.words) + 1
	switch o.kind {
	case intent:
		s.intended = s.count + intentReach
	case test:
		s.grade(o.index, o.severity, o.at)
	case listed:
		s.assessment.lists[o.index].filtered = true
		s.end(o.at)
	case firstHalf:
		s.sights = append(s.sights, sight{o.index, o.at, s.count, first <= s.intended})
	case secondHalf:
		c := &cues[o.index]
		for _, x := range s.sights {
			if x.cue != o.index || first <= x.last || first-x.last-1 > c.reach {
				continue
			}
			if x.intended {
				s.grade(c.category, c.intended, x.at)
			} else {
				s.grade(c.category, c.plain, x.at)
			}
		}
	}
}

// grade notes a severity, and ends the scan if that is filtered.
func (s *scan) grade(category int, found severity, at int) {
	worst := &s.assessment.severities[category]
	*worst = max(*worst, found)
	if found >= s.threshold {
		s.end(at)
	}
}

func (s *scan) end(at int) {
	if !s.hit || at < s.hitAt {
		s.hit, s.hitAt = true, at
	}
}
