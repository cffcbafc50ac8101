package simulator

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// keyring holds digests of keys, so that all comparisons are of equal length
// and take equal time (clause AUT-020).
type keyring [][sha256.Size]byte

func newKeyring(keys []string) keyring {
	ring := make(keyring, len(keys))
	for i, k := range keys {
		ring[i] = sha256.Sum256([]byte(k))
	}
	return ring
}

// holds compares with every key, whichever matches.
func (ring keyring) holds(key string) bool {
	digest, match := sha256.Sum256([]byte(key)), 0
	for _, k := range ring {
		match |= subtle.ConstantTimeCompare(digest[:], k[:])
	}
	return match == 1
}

// authorize decides on the headers alone, before the body is looked at (clauses
// AUT-001 to AUT-010, AUT-016). The scheme Bearer is needed (conflict C33); its
// case is free. Where a dialect knows api-key it will do alone; if both are
// sent, both must be right.
func (e *front) authorize(r *http.Request, d *dialect) *refusal {
	if len(e.keys) == 0 {
		return nil
	}
	headers := r.Header["Authorization"]
	if d.apiKey {
		if keys := r.Header["Api-Key"]; len(keys) > 0 {
			if len(keys) > 1 || !e.keys.holds(keys[0]) {
				return unauthorized("The header api-key does not hold a key of this endpoint, once.")
			}
			if len(headers) == 0 {
				return nil
			}
		}
	}
	if len(headers) != 1 {
		return unauthorized("Send the header Authorization: Bearer KEY, once.")
	}
	scheme, key, _ := strings.Cut(headers[0], " ")
	key = strings.Trim(key, " ")
	if !strings.EqualFold(scheme, "Bearer") || key == "" {
		return unauthorized("The Authorization header is not of the form Bearer KEY.")
	}
	if !e.keys.holds(key) {
		return unauthorized("The key is not valid for this endpoint.")
	}
	return nil
}
