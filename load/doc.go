// Package load measures what an endpoint gives under load, and says when its
// own figures cannot be trusted.
//
// A run goes from left to right; each step has a type of its own:
//
//	[Stage] and seed → [Plan] → [Work] → [Run] → [Record] → [Summarise] → [Result] → reports
//
// The plan (who is sent when) and the work (what is sent) come from a seed
// before the first request. The driver appends the time, offset and length of
// every event that arrives and reads no JSON while it waits for bytes; what
// the events mean is worked out behind it. Every figure is computed from the
// records, so records of several machines merged give exactly the figures of
// one. README.md has the definitions.
package load
