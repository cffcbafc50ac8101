package load

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"strings"
	"testing"
)

func dechunk(body string, cut func() int) (string, bool, error) {
	var d dechunker
	var out []byte
	for len(body) > 0 {
		n := min(max(1, cut()), len(body))
		for p := []byte(body[:n]); len(p) > 0 && d.state != bodyOver; {
			piece, rest, err := d.next(p)
			if err != nil {
				return "", false, err
			}
			out, p = append(out, piece...), rest
		}
		body = body[n:]
	}
	return string(out), d.state == bodyOver, nil
}

func TestDechunk(t *testing.T) {
	for _, c := range []struct {
		body, want string
		over       bool
		bad        bool
	}{
		{"5\r\nhello\r\n0\r\n\r\n", "hello", true, false},
		{"5 ; a=b\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0;x\r\nTrailer: t\r\nOther: u\r\n\r\n", "hello 0123456789", true, false},
		{"5\nhello\n0\n\n", "hello", true, false},
		{"5\r\nhel", "hel", false, false},
		{"5\r\nhello\r\n", "hello", false, false},
		{"5\r\nhello\r\n0\r\n", "hello", false, false},
		{"\r\nhello", "", false, true},
		{"5\r\nhello!\r\n", "", false, true},
		{"-5\r\nhello", "", false, true},
		{"11111111111111111\r\n", "", false, true},
		{"5;" + strings.Repeat("x", 5000) + "\r\n", "", false, true},
		{"0\r\n" + strings.Repeat("T: t\r\n", 1000), "", false, true},
		{"data: x\n\n", "", false, true},
	} {
		for step := 1; step <= 9; step += 4 {
			got, over, err := dechunk(c.body, func() int { return step })
			if got != c.want || over != c.over || (err != nil) != c.bad || err != nil && !errors.Is(err, errChunk) {
				t.Errorf("%.40q by %d: %q, over %v, %v", c.body, step, got, over, err)
			}
		}
	}
}

// Bodies of chunks of any size, cut anywhere, are what went in.
func TestDechunkAgreesWithHTTP(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var in, coded bytes.Buffer
		w := httputil.NewChunkedWriter(&coded)
		for range rnd.IntN(20) {
			b := bytes.Repeat([]byte{byte(rnd.Uint32())}, 1+rnd.IntN(1<<rnd.IntN(12)))
			in.Write(b)
			w.Write(b)
		}
		w.Close()
		coded.WriteString("\r\n")
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(coded.Bytes())))
		got, over, derr := dechunk(coded.String(), func() int { return rnd.IntN(100) })
		if err != nil || derr != nil || !over || got != in.String() || got != string(theirs) {
			t.Fatalf("%d bytes in, %d and %d out, over %v: %v, %v", in.Len(), len(got), len(theirs), over, derr, err)
		}
	}
}

// FuzzDechunk feeds bodies in pieces of one size after the other: whatever they
// are, they are decoded as they are in one piece.
func FuzzDechunk(f *testing.F) {
	f.Add("5\r\nhello\r\n0\r\n\r\n", uint8(1))
	f.Add("5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n", uint8(3))
	f.Add("ffffffffffffffff\r\n", uint8(2))
	f.Fuzz(func(t *testing.T, body string, size uint8) {
		whole, ended, err := dechunk(body, func() int { return len(body) + 1 })
		pieces, endedToo, errToo := dechunk(body, func() int { return int(size) + 1 })
		if whole != pieces || ended != endedToo || (err == nil) != (errToo == nil) {
			t.Errorf("%q in one piece: %q %v %v; in pieces of %d: %q %v %v", body, whole, ended, err, int(size)+1, pieces, endedToo, errToo)
		}
	})
}
