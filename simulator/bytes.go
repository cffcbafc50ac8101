package simulator

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// mostBytes is the largest body that is read. Any prompt that fits a context of
// 128 Ki tokens is smaller.
const mostBytes = 4 << 20

// mostDrained is how much of a larger body is read and thrown away, so that the
// client reads the answer and not a reset connection (clause REQ-015).
const mostDrained = 64 << 20

// readBody reads a body, for a limited time, and into room if there is enough.
func (s *Server) readBody(room []byte, w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if s.bodyTime > 0 {
		limit := http.NewResponseController(w)
		if limit.SetReadDeadline(time.Now().Add(s.bodyTime)) == nil {
			defer func() { _ = limit.SetReadDeadline(time.Time{}) }()
		}
	}
	return readBody(room, r)
}

// readBody is the stage 'bytes': the body, if it is JSON by its label and not
// too large (clauses REQ-004, REQ-005, REQ-015, REQ-016).
func readBody(room []byte, r *http.Request) ([]byte, *refusal) {
	if bad := checkLabels(r.Header); bad != nil {
		return nil, bad
	}
	body, err := readAll(room, r)
	if len(body) > mostBytes {
		_, _ = io.CopyN(io.Discard, r.Body, mostDrained)
		return nil, refuse(http.StatusRequestEntityTooLarge, "body_too_large",
			"The body is larger than %d bytes; send a shorter prompt.", mostBytes)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, refuse(http.StatusRequestTimeout, "request_timeout", "The body did not come in time; send it at once.")
	}
	if err != nil {
		return nil, invalid(codeBody, "", "The body could not be read to its end; send it whole.")
	}
	return body, nil
}

// readAll reads a body up to mostBytes and one more. What is small, and says so,
// is read at once.
func readAll(room []byte, r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n >= 0 && n <= mostKept {
		body := slices.Grow(room[:0], int(n))[:n]
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(r.Body, mostBytes+1))
}

// first is the first value of a header, whose name is in canonical form.
func first(h http.Header, name string) string {
	if list := h[name]; len(list) > 0 {
		return list[0]
	}
	return ""
}

// checkLabels checks what the headers say of the body. A request without a
// Content-Type is taken for what the routes expect.
func checkLabels(h http.Header) *refusal {
	if e := first(h, "Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return refuse(http.StatusUnsupportedMediaType, "unsupported_media_type",
			"Content-Encoding %q is not supported; send the body as it is.", clip(e))
	}
	label := first(h, "Content-Type")
	if label == "" || label == "application/json" {
		return nil
	}
	media, parameters, err := mime.ParseMediaType(label)
	if err != nil || media != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "unsupported_media_type",
			"Content-Type is %q; send application/json.", clip(label))
	}
	if charset, ok := parameters["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return refuse(http.StatusUnsupportedMediaType, "unsupported_media_type",
			"charset is %q; JSON is sent as utf-8.", clip(charset))
	}
	return nil
}
