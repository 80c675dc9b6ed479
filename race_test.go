//go:build race

package rand

const raceEnabled = true
