// Package simulator is the reference endpoint: it keeps every clause of the
// contract, with answers from a real model, and breaks any one of them on demand.
//
// A request flows through stages, one file each, in an order that is part of
// the contract ('Combination matrix' of the rule catalog):
//
//	bytes → decode → type → range → combination → context → generate → shape → wire
//
// A stage refuses with an error that names the parameter and the fix; a refused
// request costs no generation. What differs between APIs is a table (see
// dialect.go), not code. Defects hook into the stages (see hooks.go); none is a
// branch of the reference's own path.
package simulator
