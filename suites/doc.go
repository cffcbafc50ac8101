// Package suites makes the clauses executable: it calibrates a target, sends
// probes, records the exchanges, judges them with pure rules and presents the
// verdicts through Ginkgo.
//
//	target → calibration → probes (concurrent, governed, recorded) → rules (pure) → verdicts → result
//
// The judge shares nothing with the judged but the contract: this package
// never imports the simulator or the engine.
package suites
