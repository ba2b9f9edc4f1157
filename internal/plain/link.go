package plain

import (
	"net/url"
	"strings"
)

// longestLink is the most bytes of an address that is worth offering.
const longestLink = 2000

// Link is a foreign address when it is one to offer a click on: http or https, with a host,
// without a user name or invisible characters to deceive with. Else it is "".
func Link(raw string) string {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	if err != nil || len(raw) > longestLink || raw != Line(raw, longestLink+1) || u.Host == "" || u.User != nil ||
		(u.Scheme != "http" && u.Scheme != "https") {
		return ""
	}
	return u.String()
}
