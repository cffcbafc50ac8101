package load

import (
	"bytes"
	"io"
	"sync"
)

// A mark is one event of a body: when its last byte had arrived, in
// nanoseconds since the run's begin, and where it lies in its block.
type mark struct {
	at     int64
	off, n uint32
}

// A block is a piece of a body that ends at the end of an event, or of the
// body.
type block struct {
	buf   []byte
	marks []mark
	// rest is where the last event of buf ends; behind it lies what has no
	// blank line yet. Only the last block of a body has such a rest.
	rest int
}

const (
	blockSize = 4 << 10  // of a block at first
	blockRoom = 1 << 10  // that must be free for a read
	blockFast = 32 << 10 // of the next one where a read has filled one
	blockKeep = 64 << 10 // larger ones are not used again
	maxEvent  = 4 << 20  // bytes of an event that are kept
)

var blocks = sync.Pool{New: func() any { return &block{buf: make([]byte, 0, blockSize), marks: make([]mark, 0, 32)} }}
var fastBlocks = sync.Pool{New: func() any { return &block{buf: make([]byte, 0, blockFast), marks: make([]mark, 0, 256)} }}

func (b *block) free() {
	b.buf, b.marks, b.rest = b.buf[:0], b.marks[:0], 0
	switch c := cap(b.buf); {
	case c == blockSize:
		blocks.Put(b)
	case c <= blockKeep:
		fastBlocks.Put(b)
	}
}

// A scanner splits a body into events as it arrives. It is the hot path: per
// event it appends one mark, per read it asks the clock once, and blocks that
// are full go on as they are. It reads no JSON and allocates nothing while
// there are blocks to use again.
type scanner struct {
	blk   *block
	full  func(*block) // takes over a block whose events are complete
	lines int          // bytes of the line so far
	cr    bool         // the last of them is a carriage return
	from  int          // where in blk.buf the event began
	fast  bool         // reads fill blocks
	// events, bytes and huge are counted for the whole body; huge is how many
	// events were too long to be kept whole.
	events int
	bytes  int64
	huge   int
	drop   bool // the event is being dropped
}

// space is where the next read goes, of room bytes or more.
func (s *scanner) space(room int) []byte {
	if s.blk == nil {
		s.blk = blocks.Get().(*block)
	}
	b := s.blk
	if cap(b.buf)-len(b.buf) < room {
		s.next()
		b = s.blk
	}
	return b.buf[len(b.buf):cap(b.buf)]
}

// next makes room: complete events go on, a piece of one moves to a new block.
func (s *scanner) next() {
	b := s.blk
	tail := b.buf[s.from:]
	if s.from == 0 && len(tail) >= maxEvent || s.drop {
		if !s.drop {
			s.huge++
			s.drop = true
		}
		b.buf = b.buf[:min(len(b.buf), maxEvent)-blockFast] // and again from there
		return
	}
	var n *block
	switch size := 2 * len(tail); {
	case size+blockRoom > blockFast:
		n = &block{buf: make([]byte, 0, max(2*cap(b.buf), size)), marks: make([]mark, 0, 32)}
	case s.fast || size+blockRoom > blockSize:
		n = fastBlocks.Get().(*block)
	default:
		n = blocks.Get().(*block)
	}
	n.buf = append(n.buf, tail...)
	if len(b.marks) > 0 {
		b.buf, b.rest = b.buf[:s.from], s.from
		s.full(b)
	} else {
		b.free()
	}
	s.blk, s.from = n, 0
}

// took says that n bytes were read into space at a time.
func (s *scanner) took(n int, at int64) {
	b := s.blk
	i := len(b.buf)
	b.buf = b.buf[:i+n]
	s.bytes += int64(n)
	s.fast = len(b.buf) == cap(b.buf)
	for {
		k := bytes.IndexByte(b.buf[i:], '\n')
		if k < 0 {
			if rest := len(b.buf) - i; rest > 0 {
				s.lines += rest
				s.cr = b.buf[len(b.buf)-1] == '\r'
			}
			return
		}
		if k > 0 {
			s.lines += k
			s.cr = b.buf[i+k-1] == '\r'
		}
		i += k + 1
		blank := s.lines == 0 || s.lines == 1 && s.cr
		s.lines, s.cr = 0, false
		if !blank {
			continue
		}
		if i-s.from > 2 { // more than the blank line itself
			b.marks = append(b.marks, mark{at, uint32(s.from), uint32(i - s.from)})
			s.events++
			s.drop = false
		}
		s.from = i
	}
}

// write takes in what was read elsewhere.
func (s *scanner) write(p []byte, at int64) {
	for len(p) > 0 {
		n := copy(s.space(min(len(p), blockRoom)), p)
		s.took(n, at)
		p = p[n:]
	}
}

// readAll takes in a whole body. After each read it calls took, whose error
// ends it. at is when the body ended; its end is io.EOF.
func (s *scanner) readAll(body io.Reader, now func() int64, took func(at int64) error) (at int64, err error) {
	if b, ok := body.(*h1body); ok && b.from != nil {
		return b.pour(now, func(p []byte, at int64) error {
			s.write(p, at)
			return took(at)
		})
	}
	for {
		n, err := body.Read(s.space(blockRoom))
		at = now()
		if n > 0 {
			s.took(n, at)
			if terr := took(at); err == nil {
				err = terr
			}
		}
		if err != nil {
			return at, err
		}
	}
}

// end hands over what is left, and is called once.
func (s *scanner) end() {
	if s.blk != nil {
		s.blk.rest = s.from
		s.full(s.blk)
		s.blk = nil
	}
}

// data is the payload of an event with one data line, without copying; many
// is set where it has several, which to then holds joined.
func data(event, to []byte) (payload []byte, named []byte, ok bool) {
	n := 0
	for len(event) > 0 {
		line := event
		if i := bytes.IndexByte(event, '\n'); i >= 0 {
			line, event = event[:i], event[i+1:]
		} else {
			event = nil
		}
		if l := len(line); l > 0 && line[l-1] == '\r' {
			line = line[:l-1]
		}
		if len(line) < 5 || line[0] != 'd' && line[0] != 'e' {
			continue
		}
		i := bytes.IndexByte(line, ':')
		if i < 0 {
			continue
		}
		v := line[i+1:]
		if len(v) > 0 && v[0] == ' ' {
			v = v[1:]
		}
		switch string(line[:i]) {
		case "data":
			if n++; n == 1 {
				payload = v
				continue
			}
			if n == 2 {
				to = append(to[:0], payload...)
			}
			to = append(append(to, '\n'), v...)
			payload = to
		case "event":
			named = v
		}
	}
	return payload, named, n > 0
}
