package engine

// assumedMemory is what a machine has that does not say.
const assumedMemory = 8 << 30
