package simulator

import (
	"encoding/binary"
	encoding "encoding/hex"
	"math/rand/v2"
)

// newUUID returns a random UUID (version 4) behind a prefix. It names, and keeps
// no secret.
func newUUID(prefix string) string {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var room [64]byte
	text := append(room[:0], prefix...)
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = encoding.AppendEncode(text, part)
	}
	return string(text)
}
