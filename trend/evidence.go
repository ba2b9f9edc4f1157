package trend

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/barograph/barograph/news"
)

// evidence is a text behind a spike as it is kept: its event time in Unix seconds and a space,
// then the fields below, in this order, with evidenceSeparator between them.
type evidence struct {
	id                 string
	negative, positive float64 // probabilities
	title, url         string
	model              news.Model
	source, lang       string
}

const evidenceSeparator = "\x1f"

// Limits of what is kept of one text. A URL or an id cannot be cut short: a longer URL is
// left out, and a text with a longer id is counted, but never evidence.
const (
	longestTitle  = 200  // runes
	longestURL    = 1000 // bytes
	longestID     = 1000 // bytes
	longestSource = 200  // bytes
)

// evidenceOf packs a reading. One whose id cannot be kept has an empty one.
func evidenceOf(r *news.Reading) string {
	id, url := r.ID, r.URL
	if len(id) > longestID || strings.Contains(id, evidenceSeparator) {
		id = ""
	}
	if len(url) > longestURL || strings.Contains(url, evidenceSeparator) {
		url = ""
	}
	source := r.Source
	if len(source) > longestSource {
		source = ""
	}
	probability := func(p float64) string { return strconv.FormatFloat(math.Round(p*1e4)/1e4, 'g', -1, 64) }
	fields := []string{id, probability(r.Sentiment.Negative), probability(r.Sentiment.Positive),
		news.Item{Title: r.Title}.Headline(longestTitle), url, r.Model.Name, r.Model.Version, r.Model.Digest,
		source, r.Lang}
	for i := range fields {
		fields[i] = strings.ReplaceAll(fields[i], evidenceSeparator, " ")
	}
	return strconv.FormatInt(r.PublishedAt.Unix(), 10) + " " + strings.Join(fields, evidenceSeparator)
}

// parseEvidence unpacks a text; it gives false for what evidenceOf did not pack.
func parseEvidence(packed string) (e evidence, at int64, ok bool) {
	stamp, rest, _ := strings.Cut(packed, " ")
	fields := strings.Split(rest, evidenceSeparator)
	if len(fields) == 8 { // as it was packed before there were source and language
		fields = append(fields, "", "")
	}
	if len(fields) != 10 {
		return e, 0, false
	}
	at, err := strconv.ParseInt(stamp, 10, 64)
	negative, err2 := strconv.ParseFloat(fields[1], 64)
	positive, err3 := strconv.ParseFloat(fields[2], 64)
	return evidence{id: fields[0], negative: negative, positive: positive, title: fields[3], url: fields[4],
		model:  news.Model{Name: fields[5], Version: fields[6], Digest: fields[7]},
		source: fields[8], lang: fields[9]}, at, err == nil && err2 == nil && err3 == nil
}

// since unpacks the texts since a spike began, the latest first.
func since(packed []string, began time.Time) []evidence {
	var out []evidence
	for _, text := range packed {
		if e, at, ok := parseEvidence(text); ok && at >= began.Unix() && e.id != "" {
			out = append(out, e)
		}
	}
	return out
}

// strongest picks the texts that show a kind of spike best; of equal ones the latest.
func strongest(texts []evidence, kind news.SpikeKind) []evidence {
	out := slices.Clone(texts)
	slices.SortStableFunc(out, func(a, b evidence) int {
		switch kind {
		case news.SpikePositive:
			return cmp.Compare(b.positive, a.positive)
		case news.SpikeVolume:
			return 0
		}
		return cmp.Compare(b.negative, a.negative)
	})
	return out[:min(shown, len(out))]
}

// show gives a spike its texts, and the strongest of them as evidence.
func show(spike *news.Spike, packed []string) {
	spike.Evidence, spike.Texts = nil, nil
	texts := since(packed, spike.StartedAt)
	for _, e := range texts {
		spike.Texts = append(spike.Texts, e.id)
	}
	for i, e := range strongest(texts, spike.Kind) {
		if i == 0 {
			spike.Model = e.model
		}
		text := news.Evidence{ID: e.id, Title: e.title, URL: e.url, Source: e.source, Lang: e.lang, Negative: e.negative}
		if spike.Kind == news.SpikePositive {
			text.Positive = e.positive
		}
		spike.Evidence = append(spike.Evidence, text)
	}
}
