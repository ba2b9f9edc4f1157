package alert

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/barograph/barograph/news"
)

// page is a page of the console that a message links to.
type page struct{ Text, URL string }

// pagesOf are the pages about what a delivery tells of; none where the console's address is
// not known. Of a digest it is the console's first page.
func pagesOf(d Delivery, p phrases) []page {
	switch {
	case d.Console == "":
		return nil
	case d.Digest != nil:
		return []page{{p.console, strings.TrimSuffix(d.Console, "/") + "/"}}
	}
	return []page{
		{p.thisAlert, alertPage(d.Console, d.Alert)},
		{fmt.Sprintf(p.ofSeries, p.series(d.Alert.Series)), seriesPage(d.Console, d.Alert.Series)},
	}
}

// alertPage is the address of an alert's page; "" where the console's is not known.
func alertPage(console string, a news.Alert) string {
	if console == "" {
		return ""
	}
	return strings.TrimSuffix(console, "/") + "/a/" + url.PathEscape(a.ID)
}

// seriesPage is likewise the address of a series' page.
func seriesPage(console string, s news.Series) string {
	if console == "" {
		return ""
	}
	part := func(name string) string {
		if name == "" {
			return "-" // the console's word for any
		}
		return url.PathEscape(name)
	}
	address := strings.TrimSuffix(console, "/") + "/s/" + part(s.Entity)
	if s.Topic != "" {
		address += "/" + part(s.Topic)
	}
	return address
}
