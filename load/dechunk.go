package load

import (
	"bytes"
	"errors"
)

// A dechunker undoes the chunked coding of HTTP/1.1 of a body that comes in
// pieces cut anywhere. The zero value is at the begin of a body.
type dechunker struct {
	state dechunkState
	left  uint64 // bytes of the chunk still to come; its size while that is read
	size  int    // bytes of the line so far
}

type dechunkState uint8

const (
	inSize      dechunkState = iota // hexadecimal digits
	inExtension                     // what may follow them
	inData
	behindData   // the line break after a chunk
	inTrailer    // at the begin of a line of it
	inTrailerRow // within one
	bodyOver
)

// maxChunkLine bounds the line before a chunk, and the trailer.
const maxChunkLine = 4 << 10

var errChunk = errors.New("malformed chunked encoding")

// next reads up to the end of the next piece of the body, which may be empty,
// and gives what is left of p.
func (d *dechunker) next(p []byte) (piece, rest []byte, err error) {
	for len(p) > 0 && d.state != bodyOver {
		if d.state == inData {
			if uint64(len(p)) < d.left {
				d.left -= uint64(len(p))
				return p, nil, nil
			}
			piece, p = p[:d.left], p[d.left:]
			d.left, d.size, d.state = 0, 0, behindData
			return piece, p, nil
		}
		c := p[0]
		p = p[1:]
		if d.size++; d.size > maxChunkLine {
			return nil, p, errChunk
		}
		switch d.state {
		case inSize:
			switch digit := hexDigit(c); {
			case digit >= 0:
				if d.size > 16 {
					return nil, p, errChunk
				}
				d.left = d.left<<4 | uint64(digit)
				continue
			case d.size == 1: // not even one
				return nil, p, errChunk
			case c == '\n':
				d.data()
			case c == '\r', c == ' ', c == '\t', c == ';':
				d.state = inExtension
			default:
				return nil, p, errChunk
			}
		case inExtension:
			if c == '\n' {
				d.data()
			} else if i := bytes.IndexByte(p, '\n'); i > 0 {
				d.size += i
				p = p[i:]
			}
		case behindData:
			if c == '\n' {
				d.state, d.size = inSize, 0
			} else if c != '\r' || d.size > 1 {
				return nil, p, errChunk
			}
		case inTrailer:
			if c == '\n' {
				d.state = bodyOver
			} else if c != '\r' {
				d.state = inTrailerRow
			}
		case inTrailerRow:
			if c == '\n' {
				d.state = inTrailer
			}
		}
	}
	return nil, p, nil
}

// data goes behind the line before a chunk; the last chunk is empty.
func (d *dechunker) data() {
	d.size, d.state = 0, inData
	if d.left == 0 {
		d.state = inTrailer
	}
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
