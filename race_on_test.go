//go:build race

package rand

// raceEnabled says whether the race detector makes everything ten times slower.
const raceEnabled = true
