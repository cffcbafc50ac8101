package engine

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// A regex turns a regular expression into an expr. encode says how a character
// from lo to hi is written where the text stands.
type regex struct {
	encode func(lo, hi rune) expr
	search bool // the pattern may match anywhere, unless it has anchors
}

// parse returns the texts that pattern matches.
func (x regex) parse(pattern string) (expr, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return x.whole(re.Simplify())
}

// whole returns what an expression matches that stands for the whole text. The
// anchors are taken off here: nowhere else do they have a meaning.
func (x regex) whole(re *syntax.Regexp) (expr, error) {
	var parts []*syntax.Regexp
	switch re.Op {
	case syntax.OpAlternate:
		var all choice
		for _, sub := range re.Sub {
			e, err := x.whole(sub)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		return all, nil
	case syntax.OpConcat:
		parts = re.Sub
	default:
		parts = []*syntax.Regexp{re}
	}
	begins, ends := !x.search, !x.search
	for len(parts) > 0 && (parts[0].Op == syntax.OpBeginText || parts[0].Op == syntax.OpBeginLine) {
		begins, parts = true, parts[1:]
	}
	for n := len(parts); n > 0 && (parts[n-1].Op == syntax.OpEndText || parts[n-1].Op == syntax.OpEndLine); n = len(parts) {
		ends, parts = true, parts[:n-1]
	}
	anything := repeat{x.encode(0, utf8.MaxRune), 0, -1}
	var all sequence
	if !begins {
		all = append(all, anything)
	}
	for _, part := range parts {
		e, err := x.part(part)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if !ends {
		all = append(all, anything)
	}
	return all, nil
}

// part returns what an expression within another matches.
func (x regex) part(re *syntax.Regexp) (expr, error) {
	var subs []expr
	for _, sub := range re.Sub {
		e, err := x.part(sub)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return sequence{}, nil
	case syntax.OpLiteral:
		var all sequence
		for _, r := range re.Rune {
			all = append(all, x.char(r, re.Flags&syntax.FoldCase != 0))
		}
		return all, nil
	case syntax.OpCharClass:
		return x.class(re.Rune), nil
	case syntax.OpAnyChar:
		return x.encode(0, utf8.MaxRune), nil
	case syntax.OpAnyCharNotNL:
		return choice{x.encode(0, '\n'-1), x.encode('\n'+1, utf8.MaxRune)}, nil
	case syntax.OpCapture:
		return subs[0], nil
	case syntax.OpConcat:
		return sequence(subs), nil
	case syntax.OpAlternate:
		return choice(subs), nil
	case syntax.OpStar:
		return repeat{subs[0], 0, -1}, nil
	case syntax.OpPlus:
		return repeat{subs[0], 1, -1}, nil
	case syntax.OpQuest:
		return repeat{subs[0], 0, 1}, nil
	}
	return nil, fmt.Errorf("%s is not supported here in a pattern", re)
}

// class returns a character of the ranges, pairs of the first and the last.
func (x regex) class(ranges []rune) expr {
	var all choice
	for pair := range slices.Chunk(ranges, 2) {
		all = append(all, x.encode(pair[0], pair[1]))
	}
	return all
}

// char returns a character, with fold in either case.
func (x regex) char(r rune, fold bool) expr {
	all := choice{x.encode(r, r)}
	if fold {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			all = append(all, x.encode(f, f))
		}
	}
	return all
}
