package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"unicode/utf8"
)

// An expr describes a set of byte strings; it is compiled by a [grammar].
type expr interface{}

type (
	// literal is one string.
	literal string
	// byteRange is one byte of those from lo to hi.
	byteRange struct{ lo, hi byte }
	// sequence is one of each, one after the other.
	sequence []expr
	// choice is one of them.
	choice []expr
	// repeat is e from min to max times; without end if max is negative.
	repeat struct {
		e        expr
		min, max int
	}
	// rule is what the rule of that number describes; rules may call themselves
	// and each other, but not before anything else (left recursion).
	rule int
)

// A grammar is a set of rules compiled to automata that call each other (a
// recursive transition network, Woods 1970): a pushdown automaton over bytes.
// Rule 0 is where it begins.
type grammar struct {
	rules []struct{ start, end int32 } // nodes
	nodes []grammarNode
	err   error
}

type grammarNode struct {
	edges []grammarEdge
	end   bool // of its rule
}

// A grammarEdge leads to a node by a byte from lo to hi, by a rule, or by
// nothing.
type grammarEdge struct {
	kind   edgeKind
	lo, hi byte
	rule   int32
	to     int32
}

type edgeKind uint8

const (
	byByte edgeKind = iota
	byRule
	byNothing
)

// maxNodes bounds the size of a grammar.
const maxNodes = 1 << 18

var errGrammarSize = errors.New("it makes too large a grammar")

func (g *grammar) node() int32 {
	if len(g.nodes) >= maxNodes {
		g.err = errGrammarSize
		return 0
	}
	g.nodes = append(g.nodes, grammarNode{})
	return int32(len(g.nodes) - 1)
}

func (g *grammar) edge(from int32, e grammarEdge) {
	g.nodes[from].edges = append(g.nodes[from].edges, e)
}

// declare returns a new rule, to be defined later.
func (g *grammar) declare() rule {
	start, end := g.node(), g.node()
	g.nodes[end].end = true
	g.rules = append(g.rules, struct{ start, end int32 }{start, end})
	return rule(len(g.rules) - 1)
}

// define says what a rule describes.
func (g *grammar) define(r rule, e expr) {
	g.edge(g.add(g.rules[r].start, e), grammarEdge{kind: byNothing, to: g.rules[r].end})
}

// add compiles e from a node on and returns the node where it ends.
func (g *grammar) add(from int32, e expr) int32 {
	if g.err != nil {
		return from
	}
	switch e := e.(type) {
	case literal:
		for _, b := range []byte(e) {
			from = g.add(from, byteRange{b, b})
		}
	case byteRange:
		to := g.node()
		g.edge(from, grammarEdge{kind: byByte, lo: e.lo, hi: e.hi, to: to})
		return to
	case sequence:
		for _, part := range e {
			from = g.add(from, part)
		}
	case choice:
		to := g.node()
		for _, part := range e {
			g.edge(g.add(from, part), grammarEdge{kind: byNothing, to: to})
		}
		return to
	case repeat:
		return g.addRepeat(from, e)
	case rule:
		to := g.node()
		g.edge(from, grammarEdge{kind: byRule, rule: int32(e), to: to})
		return to
	}
	return from
}

func (g *grammar) addRepeat(from int32, e repeat) int32 {
	for range e.min {
		if from = g.add(from, e.e); g.err != nil {
			return from
		}
	}
	to := g.node()
	if e.max < 0 {
		loop := g.node()
		g.edge(from, grammarEdge{kind: byNothing, to: loop})
		g.edge(g.add(loop, e.e), grammarEdge{kind: byNothing, to: loop})
		g.edge(loop, grammarEdge{kind: byNothing, to: to})
		return to
	}
	for i := e.min; i < e.max && g.err == nil; i++ {
		g.edge(from, grammarEdge{kind: byNothing, to: to})
		from = g.add(from, e.e)
	}
	g.edge(from, grammarEdge{kind: byNothing, to: to})
	return to
}

// finish returns the grammar, ready to be run.
func (g *grammar) finish() (*grammar, error) {
	if g.err != nil {
		return nil, g.err
	}
	if !g.prune() {
		return nil, errors.New("no text can match it")
	}
	if g.leftRecursive() {
		return nil, errors.New("something in it is defined as itself, with nothing before")
	}
	return g, nil
}

// leftRecursive says whether a rule calls itself before it reads a byte.
func (g *grammar) leftRecursive() bool {
	const open, done = 1, 2
	state := make([]int, len(g.rules))
	var enters func(r int32) bool
	enters = func(r int32) bool {
		if state[r] != 0 {
			return state[r] == open
		}
		state[r] = open
		seen := map[int32]bool{}
		todo := []int32{g.rules[r].start}
		for len(todo) > 0 {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if seen[n] {
				continue
			}
			seen[n] = true
			for _, e := range g.nodes[n].edges {
				if e.kind == byByte {
					continue
				}
				if e.kind == byRule && enters(e.rule) {
					return true
				}
				todo = append(todo, e.to) // what is called may read nothing
			}
		}
		state[r] = done
		return false
	}
	for r := range g.rules {
		if enters(int32(r)) {
			return true
		}
	}
	return false
}

// prune removes what leads to no end, such as a value that must hold itself. It
// returns false if nothing is left.
func (g *grammar) prune() bool {
	good := make([]bool, len(g.nodes)) // the end of its rule can be reached
	passes := func(e grammarEdge) bool {
		return good[e.to] && (e.kind != byRule || good[g.rules[e.rule].start])
	}
	for changed := true; changed; {
		changed = false
		for i := len(g.nodes) - 1; i >= 0; i-- {
			if !good[i] && (g.nodes[i].end || slices.ContainsFunc(g.nodes[i].edges, passes)) {
				good[i], changed = true, true
			}
		}
	}
	for i := range g.nodes {
		g.nodes[i].edges = slices.DeleteFunc(g.nodes[i].edges, func(e grammarEdge) bool { return !passes(e) })
	}
	return good[g.rules[0].start]
}

// A machine runs a grammar over the bytes of tokens. Its states are sets of
// positions in the grammar, each with the rules that called it, made when they
// are first reached. It is safe for concurrent use.
type machine struct {
	grammar *grammar
	vocab   *vocabulary

	mu     sync.Mutex
	frames map[frame]int32
	stack  []frame // by number - 1
	states map[string]*machineState
	first  *machineState
}

// A frame says where a rule that was called returns to.
type frame struct {
	to     int32 // node
	caller int32 // number of the frame below, 0 for none
}

// A position is a node and the frame of the rule that it is in.
type position struct{ node, frame int32 }

type machineState struct {
	positions []position // with an edge by a byte
	whole     bool       // the text may end here
	next      [256]*machineState
	allowed   []uint64 // tokens, a bit each; nil until asked for
	only      bool     // nothing but the end is allowed
}

// deadState is where nothing leads on.
var deadState = &machineState{}

func newMachine(g *grammar, v *vocabulary) *machine {
	m := &machine{grammar: g, vocab: v, frames: map[frame]int32{}, states: map[string]*machineState{}}
	m.first = m.state([]position{{g.rules[0].start, 0}})
	return m
}

// push returns the number of a frame.
func (m *machine) push(f frame) int32 {
	n, ok := m.frames[f]
	if !ok {
		m.stack = append(m.stack, f)
		n = int32(len(m.stack))
		m.frames[f] = n
	}
	return n
}

// state returns the state of all positions that these lead to by no byte.
func (m *machine) state(from []position) *machineState {
	s := &machineState{}
	seen := map[position]bool{}
	var visit func(p position)
	visit = func(p position) {
		if seen[p] {
			return
		}
		seen[p] = true
		n := &m.grammar.nodes[p.node]
		reads := false
		for _, e := range n.edges {
			switch e.kind {
			case byByte:
				reads = true
			case byNothing:
				visit(position{e.to, p.frame})
			case byRule:
				visit(position{m.grammar.rules[e.rule].start, m.push(frame{e.to, p.frame})})
			}
		}
		if reads {
			s.positions = append(s.positions, p)
		}
		if n.end {
			if p.frame == 0 {
				s.whole = true
			} else {
				f := m.stack[p.frame-1]
				visit(position{f.to, f.caller})
			}
		}
	}
	for _, p := range from {
		visit(p)
	}
	if len(s.positions) == 0 && !s.whole {
		return deadState
	}
	slices.SortFunc(s.positions, func(a, b position) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.frame, b.frame))
	})
	key := make([]byte, 0, 8*len(s.positions)+1)
	for _, p := range s.positions {
		key = binary.LittleEndian.AppendUint32(key, uint32(p.node))
		key = binary.LittleEndian.AppendUint32(key, uint32(p.frame))
	}
	if s.whole {
		key = append(key, 1)
	}
	if known := m.states[string(key)]; known != nil {
		return known
	}
	m.states[string(key)] = s
	return s
}

// step returns the state after a byte.
func (m *machine) step(s *machineState, b byte) *machineState {
	if next := s.next[b]; next != nil {
		return next
	}
	var to []position
	for _, p := range s.positions {
		for _, e := range m.grammar.nodes[p.node].edges {
			if e.kind == byByte && e.lo <= b && b <= e.hi {
				to = append(to, position{e.to, p.frame})
			}
		}
	}
	next := deadState
	if len(to) > 0 {
		next = m.state(to)
	}
	if s != deadState {
		s.next[b] = next
	}
	return next
}

// accept returns the state after a token; one that ends the text changes
// nothing.
func (m *machine) accept(s *machineState, id int) *machineState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.vocab.ends, id) {
		return s
	}
	for _, b := range m.vocab.bytes(id) {
		s = m.step(s, b)
	}
	return s
}

// allowed returns the tokens that may follow, a bit each, and whether those are
// only the ones that end the text.
func (m *machine) allowed(s *machineState) (bits []uint64, only bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.allowed != nil {
		return s.allowed, s.only
	}
	v := m.vocab
	bits = make([]uint64, (v.size+63)/64)
	s.only = true
	path := []*machineState{s} // after each byte of the last piece
	for i, piece := range v.pieces {
		// The states of what it has in common with the piece before are known; if
		// that one led nowhere within it, so does this.
		if v.common[i] >= len(path) {
			continue
		}
		path = path[:v.common[i]+1]
		for _, b := range piece[v.common[i]:] {
			next := m.step(path[len(path)-1], b)
			if next == deadState {
				break
			}
			path = append(path, next)
		}
		if len(path) == len(piece)+1 {
			id := v.ids[i]
			bits[id/64] |= 1 << (id % 64)
			s.only = false
		}
	}
	if s.whole {
		for _, id := range v.ends {
			bits[id/64] |= 1 << (id % 64)
		}
	}
	s.allowed = bits
	return bits, s.only
}

// A vocabulary is the tokens that stand for text, in the order of their bytes.
type vocabulary struct {
	size   int
	ids    []int
	pieces [][]byte // of ids
	common []int    // bytes that a piece has in common with the one before
	ends   []int    // tokens that end a text
	bytes  func(id int) []byte
}

func newVocabulary(t *Tokenizer) *vocabulary {
	v := &vocabulary{size: t.Size(), ends: t.EOS(), bytes: t.Bytes}
	for id := range v.size {
		if !t.Special(id) && len(t.Bytes(id)) > 0 && !slices.Contains(v.ends, id) {
			v.ids = append(v.ids, id)
		}
	}
	slices.SortStableFunc(v.ids, func(a, b int) int { return slices.Compare(t.Bytes(a), t.Bytes(b)) })
	for i, id := range v.ids {
		piece := t.Bytes(id)
		n := 0
		if i > 0 {
			before := v.pieces[i-1]
			for n < min(len(piece), len(before)) && piece[n] == before[n] {
				n++
			}
		}
		v.pieces, v.common = append(v.pieces, piece), append(v.common, n)
	}
	return v
}

// runeRange returns one character from lo to hi, in UTF-8. Surrogates, which no
// text has, are left out.
func runeRange(lo, hi rune) expr {
	if lo < 0xd800 && hi > 0xdfff {
		return choice{runeRange(lo, 0xd7ff), runeRange(0xe000, hi)}
	}
	if lo >= 0xd800 && lo <= 0xdfff {
		lo = 0xe000
	}
	if hi >= 0xd800 && hi <= 0xdfff {
		hi = 0xd7ff
	}
	var all choice
	for _, last := range []rune{0x7f, 0x7ff, 0xffff, utf8.MaxRune} { // of each length
		if lo <= hi && lo <= last {
			end := min(hi, last)
			all = append(all, sameLength(utf8.AppendRune(nil, lo), utf8.AppendRune(nil, end)))
			lo = end + 1
		}
	}
	return all
}

// sameLength returns the strings of continuation bytes after a first byte that
// are from lo to hi in order; both have the same length.
func sameLength(lo, hi []byte) expr {
	if len(lo) == 1 {
		return byteRange{lo[0], hi[0]}
	}
	rest := func(b byte) []byte { return slices.Repeat([]byte{b}, len(lo)-1) }
	const least, most = 0x80, 0xbf
	if lo[0] == hi[0] {
		return sequence{byteRange{lo[0], lo[0]}, sameLength(lo[1:], hi[1:])}
	}
	all := choice{sequence{byteRange{lo[0], lo[0]}, sameLength(lo[1:], rest(most))}}
	if lo[0]+1 < hi[0] {
		all = append(all, sequence{byteRange{lo[0] + 1, hi[0] - 1}, sameLength(rest(least), rest(most))})
	}
	return append(all, sequence{byteRange{hi[0], hi[0]}, sameLength(rest(least), hi[1:])})
}
