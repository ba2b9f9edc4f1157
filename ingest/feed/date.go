package feed

import (
	"time"

	"github.com/barograph/barograph/news"
)

// What a feed brings without a date at its first poll is of any age. It is dated into the hours
// before those that trend judges (12 h, and half an hour for the way there) and within those that
// it keeps at least (24 h): it shows in charts, and is no news of this minute.
const (
	judgedFor = 12*time.Hour + 30*time.Minute
	unknown   = 6 * time.Hour
)

// date gives the items that have no date one, and says how many those were. They came to the feed after
// it was last read and up to now; where in between is not known, and they are spread over that time evenly, in their order,
// the oldest first. So what a feed held back while it could not be read, for a minute or for days, does not
// look like a burst of now. last is zero for a feed that was never read.
func date(fresh []news.Item, last, now time.Time) int {
	var undated []*news.Item
	for i := range fresh {
		if fresh[i].PublishedAt.IsZero() {
			undated = append(undated, &fresh[i])
		}
	}
	end, span := now, now.Sub(last)
	if last.IsZero() {
		end, span = now.Add(-judgedFor), unknown
	}
	step := max(0, span) / time.Duration(max(1, len(undated)))
	for i, item := range undated {
		item.PublishedAt = end.Add(-step * time.Duration(len(undated)-1-i)).UTC()
	}
	return len(undated)
}
