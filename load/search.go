package load

import "strings"

// A Search is how a limit was found.
type Search struct{}

func (s *Search) text(*strings.Builder) {}
