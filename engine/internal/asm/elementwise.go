package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// pause writes the hint that a loop waits for another processor.
func pause() {
	TEXT("pause", 4, "func(n int)")
	Doc("pause waits for about n times 40 cycles.")
	n := Load(Param("n"), GP64())
	Label("again")
	PAUSE()
	DECQ(n)
	JNZ(LabelRef("again"))
	RET()
}
