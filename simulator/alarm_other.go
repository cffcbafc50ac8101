//go:build !linux

package simulator

func newBell(ring func()) bell { return newAfterFunc(ring) }
