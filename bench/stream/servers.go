package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// serverTimes is the CPU time that the children of this program have taken, in seconds, by the
// name of their command, and "self", its own. It is read from /proc.
func serverTimes() map[string]float64 {
	times := map[string]float64{}
	var own syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) == nil {
		times["self"] = time.Duration(own.Utime.Nano() + own.Stime.Nano()).Seconds()
	}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		head, rest, found := strings.Cut(string(raw), ") ") // pid (command) state ppid …
		_, command, named := strings.Cut(head, "(")
		fields := strings.Fields(rest)
		if !found || !named || len(fields) < 13 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		times[command] += (user + system) / clockTicks
	}
	return times
}

// clockTicks a second are what /proc counts in (proc(5)): 100 on every Linux that Go runs on.
const clockTicks = 100
