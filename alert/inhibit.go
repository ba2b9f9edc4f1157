package alert

import (
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// One story hits several series: the company, its topic, the topic, everything. People
// hear of it once. Among series that are above their threshold at the same time:
//
//   - A company speaks once. While one of its series (the company or one of its topics)
//     has spoken, the others are held. Only the company itself may still speak after one
//     of its topics, when those that spoke account for less than half of its negatives.
//   - A topic, or everything, is held while companies that have spoken, or are silenced, account for
//     at least half of its negatives: a company by all that is known of it, also where it is itself
//     held. So is everything while topics do.
//   - A topic is held after everything has spoken, when it is at least half of that.
//   - A company is never held by a topic or by everything: who it is about is news.
//
// "At the same time": the other's last spike lies within the window of the one judged.
// The likeliest to speak for the burst is judged first (turn). A burst is counted in parts,
// and the series that is first above its threshold need not be the one that it is about: so
// all wait for Config.Settle, longer when they were read late, and are judged together. What is held stays known, and speaks
// when nothing explains it any more and it goes on.
//
// All this is among alerts of one kind: good news does not explain bad news. But a volume
// alert is held while a negative or positive one of its series has spoken: that is what there
// is more of.

// turn is the place of a series in a call: lower speaks first.
func turn(r record, open map[string]record) int {
	s := r.Alert.Series
	switch {
	case r.Alert.Kind == news.SpikeVolume:
		return 5
	case s.Entity != "" && s.Topic != "":
		company, known := open[keyOf(news.Series{Entity: s.Entity}, r.Alert.Kind)]
		if known && half(r.Alert.Count(), company.Alert.Count()) {
			return 0
		}
		return 2
	case s.Entity != "":
		return 1
	case s.Topic != "":
		return 3
	}
	return 4
}

// heldBack says why r, not told yet, should not speak now; "" when it may.
func heldBack(r record, open map[string]record) Reason {
	s := r.Alert.Series
	var spoke []record
	for _, o := range open {
		same := o.Alert.Kind.OrNegative() == r.Alert.Kind.OrNegative()
		silenced := o.Why == MutedByPeople && o.Alert.Series.Entity != "" && s.Entity == ""
		switch {
		case !o.Told && !silenced || !together(r, o):
		case same && o.Alert.Series != s:
			spoke = append(spoke, o)
		case !same && o.Alert.Series == s && r.Alert.Kind == news.SpikeVolume:
			return SameBurst
		}
	}
	switch {
	case s.Entity != "":
		return heldByCompany(r, spoke)
	case s.Topic != "":
		return heldTopic(r, spoke, open)
	}
	companies, topics := 0, 0
	for company := range companiesOf(spoke) {
		companies += countOf(company, r, spoke, open)
	}
	for _, o := range spoke {
		if o.Alert.Series.Entity == "" {
			topics += o.Alert.Count()
		}
	}
	if half(companies, r.Alert.Count()) || half(topics, r.Alert.Count()) {
		return NarrowerExplains
	}
	return ""
}

func heldByCompany(r record, spoke []record) Reason {
	topics := 0
	for _, o := range spoke {
		switch {
		case o.Alert.Series.Entity != r.Alert.Series.Entity:
		case r.Alert.Series.Topic != "" || o.Alert.Series.Topic == "":
			return CompanySpoke
		default:
			topics += o.Alert.Count()
		}
	}
	if half(topics, r.Alert.Count()) {
		return NarrowerExplains
	}
	return ""
}

// heldTopic: how much of a topic a company accounts for is known where the company's
// topic is above its own threshold (told or held); else the texts behind both say.
func heldTopic(r record, spoke []record, open map[string]record) Reason {
	explained := 0
	for _, o := range spoke {
		if o.Alert.Series == (news.Series{}) && half(r.Alert.Count(), o.Alert.Count()) {
			return SameBurst
		}
	}
	for company := range companiesOf(spoke) {
		if both, known := open[keyOf(news.Series{Entity: company, Topic: r.Alert.Series.Topic}, r.Alert.Kind)]; known && together(r, both) {
			explained += both.Alert.Count()
			continue
		}
		explained += min(countOf(company, r, spoke, open), r.Alert.Count()) * shared(company, r, spoke, open) / max(1, len(r.Texts))
	}
	if half(explained, r.Alert.Count()) {
		return NarrowerExplains
	}
	return ""
}

// companiesOf are the companies that the series are of.
func companiesOf(records []record) map[string]bool {
	companies := map[string]bool{}
	for _, r := range records {
		if company := r.Alert.Series.Entity; company != "" {
			companies[company] = true
		}
	}
	return companies
}

// ofCompany are a company's alerts: those that spoke, and its own where it is above its threshold, told or held.
func ofCompany(company string, r record, spoke []record, open map[string]record) (topics []record, own *record) {
	for _, o := range spoke {
		if s := o.Alert.Series; s.Entity == company && s.Topic != "" {
			topics = append(topics, o)
		}
	}
	if o, known := open[keyOf(news.Series{Entity: company}, r.Alert.Kind)]; known && together(r, o) {
		own = &o
	}
	return topics, own
}

// countOf is how many negatives of r's time a company accounts for. A text about two companies counts for both.
func countOf(company string, r record, spoke []record, open map[string]record) int {
	topics, own := ofCompany(company, r, spoke, open)
	n := 0
	for _, o := range topics {
		n += o.Alert.Count() // a text has one topic
	}
	if own != nil {
		n = max(n, own.Alert.Count())
	}
	return n
}

// shared counts the latest texts behind r that are among those behind a company's alerts. Twelve are kept of
// each: of a company of more than 24 negatives with few of them on the topic, it sees too few.
func shared(company string, r record, spoke []record, open map[string]record) int {
	topics, own := ofCompany(company, r, spoke, open)
	if own != nil {
		topics = append(topics, *own)
	}
	n := 0
	for _, id := range r.Texts {
		if slices.ContainsFunc(topics, func(o record) bool { return slices.Contains(o.Texts, id) }) {
			n++
		}
	}
	return n
}

// half reports whether part is at least half of whole.
func half(part, whole int) bool { return part > 0 && 2*part >= whole }

// together reports whether other's last spike lies within r's window: that of its last spike, or
// the one that people are shown. What a burst leaves in the longer windows is still that burst.
func together(r, other record) bool {
	window := max(r.Alert.Window, r.LastWindow)
	return other.LastAt.After(r.LastAt.Add(-time.Duration(window)))
}
