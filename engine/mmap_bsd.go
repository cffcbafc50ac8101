//go:build unix && !linux

package engine

// adviseHugePages does nothing: the system decides by itself.
func adviseHugePages([]byte) {}
