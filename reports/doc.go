// Package reports holds the result document that a check leaves and draws
// every report from it alone: terminal, HTML, JUnit XML.
//
// A run fills a [Result], closes it with [Summarise] and hands it to
// [WriteAll]. Whoever finds a result.json later reads it with [ReadFile] and
// can draw the same reports again. README.md describes the document field by
// field; result.schema.json is its JSON Schema.
package reports
