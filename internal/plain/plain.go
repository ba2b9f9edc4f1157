// Package plain makes foreign text harmless before people see it: in Slack, on a terminal,
// in a log.
package plain

import (
	"strings"
	"unicode"
)

// Line makes s one harmless line of at most limit runes: valid UTF-8, runs of white
// space as one space, without control characters (terminal escapes), without invisible and
// direction-changing ones (which make text read as what it is not).
func Line(s string, limit int) string {
	var out []rune
	gap := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			gap = len(out) > 0
			continue
		}
		if harmful(r) {
			continue
		}
		if gap {
			out = append(out, ' ')
			gap = false
		}
		out = append(out, r)
		if len(out) > limit {
			return strings.TrimSpace(string(out[:limit-1])) + "…"
		}
	}
	return string(out)
}

// Text makes s harmless as Line does, and leaves its lines, spaces and tabs as they are.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && harmful(r) {
			return -1
		}
		return r
	}, s)
}

func harmful(r rune) bool { return r == unicode.ReplacementChar || unicode.IsControl(r) || unseen(r) }

// unseen reports format characters (Unicode category Cf: bidirectional controls, zero-width
// spaces, byte order marks, tags, the soft hyphen), private use and unassigned surrogates.
// The joiners U+200C and U+200D are kept: Persian, Indic scripts and emoji need them.
func unseen(r rune) bool {
	if r == '\u200c' || r == '\u200d' {
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs) || r == '\u034f' || r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0'
}
