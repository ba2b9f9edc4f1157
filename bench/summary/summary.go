// Package summary collects the rows of the one table that bench/run ends with.
package summary

import (
	"fmt"
	"os"
)

// Env names the file that the rows are appended to. Where it is not set, nothing is kept. It does not
// begin with BAROGRAPH_: those are settings of the program, which refuses others.
const Env = "BENCH_SUMMARY"

// Row adds a row: what was measured, what Barograph did, what stands beside it (a peer, or what
// is asked for; "" for nothing) and how they compare. bench/peers/table.py writes rows of the same form.
func Row(what, figure, beside, ratio string) error {
	path := os.Getenv(Env)
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", Env, err)
	}
	if _, err := fmt.Fprintf(file, "| %s | %s | %s | %s |\n", what, figure, beside, ratio); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
