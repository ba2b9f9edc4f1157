package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrTime is returned for a time in none of the forms that ParseTime reads.
var ErrTime = errors.New("not a time with a zone: RFC 3339, RFC 1123 (as in RSS) or Unix seconds or milliseconds")

// ParseTime reads a time of publication: RFC 3339, the RFC 822 and RFC 1123 forms that RSS
// feeds use, and Unix time in seconds or milliseconds. A time without a zone, or with the
// abbreviation of one that RFC 822 does not define, is refused: hours would be guessed.
// The result is in UTC.
func ParseTime(s string) (time.Time, error) { return parseTime([]byte(strings.TrimSpace(s))) }

// parseTime is ParseTime without white space around it. Unix times, and RFC 3339 in zones of
// whole hours, are read without allocation.
func parseTime(s []byte) (time.Time, error) {
	if isDecimal(s) {
		return unixTime(s)
	}
	var t time.Time
	if len(s) > len("2006-01-02") && s[len("2006-01-02")] == 'T' && t.UnmarshalText(s) == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, string(s)); err == nil { // lets hours have one digit
		return t.UTC(), nil
	}
	if t, ok := parseMailTime(string(s)); ok {
		return t.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%.64q: %w", s, ErrTime)
}

// unixTime reads seconds or milliseconds, told apart by size: 1e11 seconds are in the
// year 5138, 1e11 milliseconds in 1973.
func unixTime(s []byte) (time.Time, error) {
	const milliseconds = 1e11
	x, err := strconv.ParseFloat(string(s), 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.64q: %w", s, ErrTime)
	}
	if x >= milliseconds || x <= -milliseconds {
		x /= 1000
	}
	const year9999 = 253402300799
	if x > year9999 || x < -year9999 {
		return time.Time{}, fmt.Errorf("%.64q: %w", s, ErrTime)
	}
	// float64 holds today's seconds to a quarter of a microsecond.
	return time.UnixMicro(int64(math.Round(x * 1e6))).UTC(), nil
}

// isDecimal keeps out what strconv.ParseFloat reads besides: Inf, NaN, hexadecimal, underscores.
func isDecimal(s []byte) bool {
	digits := bytes.TrimPrefix(s, []byte("-"))
	return len(digits) > 0 && len(bytes.Trim(digits, "0123456789.eE+")) == 0 && isDigit(digits[0])
}

// zones are those of RFC 822, section 5.1. time.Parse takes any abbreviation that it does
// not know for UTC.
const zones = " UT:+0000 UTC:+0000 GMT:+0000 Z:+0000 EST:-0500 EDT:-0400 CST:-0600 CDT:-0500 MST:-0700 MDT:-0600 PST:-0800 PDT:-0700 "

// parseMailTime reads "Mon, 02 Jan 2006 15:04:05 -0700" with its variations: no weekday,
// one-digit days, two-digit years, no seconds, zones by name.
func parseMailTime(s string) (time.Time, bool) {
	if weekday, rest, ok := strings.Cut(s, ","); ok && len(weekday) >= 3 && len(weekday) <= 9 {
		s = strings.TrimSpace(rest)
	}
	s = strings.Join(strings.Fields(s), " ")
	if i := strings.LastIndexByte(s, ' '); i >= 0 {
		name := strings.ToUpper(s[i+1:])
		if at := strings.Index(zones, " "+name+":"); at >= 0 {
			offset := at + len(name) + 2
			s = s[:i+1] + zones[offset:offset+5]
		}
	}
	for _, layout := range []string{"2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04 -0700", "2 Jan 06 15:04:05 -0700", "2 Jan 06 15:04 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
