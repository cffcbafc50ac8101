package engine

import "unicode/utf8"

// A utf8Decoder turns bytes that arrive piece by piece into text. It emits
// whole characters only. Bytes that are not UTF-8 become U+FFFD as soon as that
// is certain, one for each maximal part of a character (as the Unicode Standard
// recommends, chapter 3.9, and Python and browsers do it), so that the text is
// the same however the bytes are cut.
type utf8Decoder struct {
	pending []byte // the beginning of a character, at most 3 bytes
}

// write returns the text that b completes.
func (d *utf8Decoder) write(b []byte) string {
	if len(d.pending) == 0 && utf8.Valid(b) {
		return string(b)
	}
	// A new slice: copies of the decoder share the old one.
	p := append(d.pending[:len(d.pending):len(d.pending)], b...)
	var text []byte
	for len(p) > 0 && utf8.FullRune(p) {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n == 1 {
			n = max(1, incomplete(p))
		}
		text = utf8.AppendRune(text, r)
		p = p[n:]
	}
	d.pending = p
	return string(text)
}

// flush returns U+FFFD if a character was left incomplete.
func (d *utf8Decoder) flush() string {
	if len(d.pending) == 0 {
		return ""
	}
	d.pending = nil
	return string(utf8.RuneError)
}

// incomplete returns the length of the longest prefix of p that more bytes
// could make a character.
func incomplete(p []byte) int {
	n := 0
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if utf8.FullRune(p[:i]) {
			break
		}
		n = i
	}
	return n
}
