//go:build !race

package wordpiece

const raceDetector = false
