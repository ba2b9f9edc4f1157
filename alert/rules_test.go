package alert

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

func emptyState() *state {
	s := newState()
	return &s
}

var testRules = rules{
	critical: 6, escalate: 1, quiet: time.Hour, remember: 7 * 24 * time.Hour,
	routes: []Route{{Sink: "slack", Channel: "C1"}},
}

// said lists outcomes as "action series reason".
func said(outcomes []outcome) []string {
	var out []string
	for _, o := range outcomes {
		out = append(out, fmt.Sprintf("%s %s: %s", o.Action, o.alert.Series, o.Reason))
	}
	return out
}

// story judges one call after another and returns what was said in each.
func story(s *state, u rules, calls ...[]news.Spike) [][]string {
	var out [][]string
	for _, spikes := range calls {
		out = append(out, said(u.consider(s, spikes, time.Time{})))
	}
	return out
}

func TestLifeOfAnAlert(t *testing.T) {
	at := func(d time.Duration, negative int, surprise float64) []news.Spike {
		return []news.Spike{burst(apple, noon.Add(d), negative, surprise)}
	}
	got := story(emptyState(), testRules,
		at(0, 10, 3),
		at(0, 10, 3),                // a replay of it
		at(10*time.Minute, 12, 3.5), // a little more
		at(20*time.Minute, 20, 4.6), // much more
		at(30*time.Minute, 40, 7),   // critical
		at(40*time.Minute, 30, 5),   // less again
		at(100*time.Minute, 10, 3),  // quiet for an hour, then a new burst
		at(30*time.Minute, 40, 7),   // a replay of the first
		at(100*time.Minute, 10, 3),  // a replay of the second
		at(100*time.Minute+1, 10, 2.9),
	)
	want := [][]string{
		{"fire AAPL: first_exceedance"},
		{"hold AAPL: continues"},
		{"hold AAPL: continues"},
		{"escalate AAPL: surprise_rose"},
		{"escalate AAPL: severity_rose"},
		{"hold AAPL: continues"},
		{"resolve AAPL: quiet", "fire AAPL: first_exceedance"},
		{"hold AAPL: already_told"},
		{"hold AAPL: continues"},
		{"hold AAPL: continues"},
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("call %d: %q, want %q", i, got[i], want[i])
		}
	}
}

// A burst about a company is counted in parts: one of its topics is above its threshold in
// the first, the company in the next. One message, about the company.
func TestABurstInPartsIsToldOnce(t *testing.T) {
	first := []news.Spike{burst(appleLawsuit, noon, 3, 2.6)}
	then := []news.Spike{burst(apple, noon.Add(time.Second), 16, 5), burst(appleLawsuit, noon.Add(time.Second), 5, 2.7)}
	u := testRules
	u.settle = 2 * time.Second
	s := emptyState()
	got := story(s, u, first, then)
	got = append(got, said(u.pass(s, noon.Add(u.settle-1))), said(u.pass(s, noon.Add(u.settle))), said(u.pass(s, noon.Add(time.Minute))))
	want := [][]string{
		{"hold AAPL · Lawsuit: settling"},
		{"hold AAPL: settling", "hold AAPL · Lawsuit: settling"},
		nil,
		{"fire AAPL: first_exceedance", "hold AAPL · Lawsuit: company_spoke"},
		nil,
	}
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("the monitor said %q,\nwant %q", got, want)
	}
	if a := s.open[keyOf(apple, news.SpikeNegative)].Alert; !a.FiredAt.Equal(noon.Add(u.settle)) {
		t.Errorf("fired at %s, want when it was told", a.FiredAt)
	}

	h := NewHistory(Config{Settle: u.settle})
	h.Consider(first, noon)
	h.Consider(then, noon.Add(time.Second))
	told := h.Consider(nil, noon.Add(time.Minute))
	if len(told) != 2 || !told[0].Told || told[0].Alert.Series != apple || told[1].Told {
		t.Errorf("the history said %+v", told)
	}
}

// The parts of a burst in a backlog are read as far apart as replicas are behind: it waits for
// half of that. An alert about another company, which is read at once, neither waits nor ends that.
func TestABurstInABacklogIsToldOnce(t *testing.T) {
	late := func(behind time.Duration, spikes ...news.Spike) []news.Spike {
		for i := range spikes {
			spikes[i].Behind = behind
		}
		return spikes
	}
	u := testRules
	u.settle = 2 * time.Second
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	tesla := news.Series{Entity: "TSLA"}
	s := emptyState()
	got := story(s, u,
		late(24*time.Second, burst(appleLawsuit, noon, 5, 2.6)),
		late(0, burst(tesla, at(3*time.Second), 8, 3)),
		late(20*time.Second, burst(apple, at(10*time.Second), 17, 5)),
	)
	got = append(got, said(u.pass(s, at(14*time.Second-1))), said(u.pass(s, at(14*time.Second))))
	want := [][]string{
		{"hold AAPL · Lawsuit: settling"},
		{"hold TSLA: settling"},
		{"fire TSLA: first_exceedance", "hold AAPL: settling"},
		nil,
		{"fire AAPL: first_exceedance", "hold AAPL · Lawsuit: company_spoke"},
	}
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("the monitor said %q,\nwant %q", got, want)
	}

	s = emptyState()
	story(s, u, late(3*time.Hour, burst(apple, noon, 17, 5)))
	if got := u.pass(s, at(43*time.Second)); len(got) > 0 {
		t.Errorf("an hours old burst: %q while a dead replica's partitions may still be on their way", said(got))
	}
	if got := u.pass(s, at(u.settle+longestBehind)); len(got) != 1 || got[0].Action != Fire {
		t.Errorf("an hours old burst: %q after %s, want it told", said(got), u.settle+longestBehind)
	}
}

// What waited to settle when everything stopped is told, however late.
func TestSettlesAfterADowntime(t *testing.T) {
	u := testRules
	u.settle = 2 * time.Second
	s := emptyState()
	story(s, u, []news.Spike{burst(apple, noon, 10, 3)})
	got := said(u.pass(s, noon.Add(3*time.Hour)))
	if want := []string{"fire AAPL: first_exceedance", "resolve AAPL: quiet"}; !slices.Equal(got, want) {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestReplayAfterResolution(t *testing.T) {
	s := emptyState()
	spikes := []news.Spike{burst(apple, noon, 10, 3), burst(apple, noon.Add(20*time.Minute), 30, 5)}
	story(s, testRules, spikes[:1], spikes[1:])
	testRules.resolve(s, noon.Add(2*time.Hour))
	if len(s.open) != 0 {
		t.Fatalf("%d still open", len(s.open))
	}
	redelivered := spikes[1]
	redelivered.At = noon.Add(3 * time.Hour) // judged again later: the same window
	for _, spike := range []news.Spike{spikes[0], spikes[1], redelivered} {
		if got := story(s, testRules, []news.Spike{spike})[0]; !slices.Equal(got, []string{"hold AAPL: already_told"}) {
			t.Errorf("replay judged at %s: %q", spike.At, got)
		}
	}
	next := story(s, testRules, []news.Spike{burst(apple, noon.Add(4*time.Hour), 10, 3)})[0]
	if !slices.Equal(next, []string{"fire AAPL: first_exceedance"}) {
		t.Errorf("a new burst: %q", next)
	}
	testRules.resolve(s, noon.Add(6*time.Hour))
	testRules.resolve(s, noon.Add(6*time.Hour+testRules.remember))
	if len(s.closed) != 0 {
		t.Errorf("resolved alerts are remembered for longer than asked: %v", s.closed)
	}
}

// One story hits several series; people hear of it once.
func TestInhibition(t *testing.T) {
	one := func(spikes ...news.Spike) []news.Spike { return spikes }
	soon := noon.Add(5 * time.Minute)
	market := news.Series{Topic: "Macro"}
	of := func(s news.Spike, texts ...string) news.Spike {
		s.Texts = texts
		return s
	}
	tests := []struct {
		name  string
		calls [][]news.Spike
		want  []string // of the last call
	}{
		{
			name:  "all four series of one story: the company's topic speaks",
			calls: [][]news.Spike{one(burst(everything, noon, 34, 3), burst(lawsuit, noon, 31, 4), burst(apple, noon, 32, 5), burst(appleLawsuit, noon, 30, 6))},
			want:  []string{"fire AAPL · Lawsuit: first_exceedance", "hold AAPL: narrower_explains", "hold Lawsuit: narrower_explains", "hold everything: narrower_explains"},
		},
		{
			name:  "a story over several topics: the company speaks",
			calls: [][]news.Spike{one(burst(apple, noon, 40, 5), burst(appleLawsuit, noon, 12, 6), burst(appleEarnings, noon, 11, 4))},
			want:  []string{"fire AAPL: first_exceedance", "hold AAPL · Lawsuit: company_spoke", "hold AAPL · Earnings: company_spoke"},
		},
		{
			name:  "only topics of a company: the most surprising speaks",
			calls: [][]news.Spike{one(burst(appleEarnings, noon, 11, 4), burst(appleLawsuit, noon, 12, 6))},
			want:  []string{"fire AAPL · Lawsuit: first_exceedance", "hold AAPL · Earnings: company_spoke"},
		},
		{
			name:  "the topic spoke before: the company is held",
			calls: [][]news.Spike{one(burst(appleLawsuit, noon, 20, 6)), one(burst(apple, soon, 25, 5))},
			want:  []string{"hold AAPL: narrower_explains"},
		},
		{
			name:  "the topic spoke before, but the company has far more",
			calls: [][]news.Spike{one(burst(appleLawsuit, noon, 10, 6)), one(burst(apple, soon, 50, 8))},
			want:  []string{"fire AAPL: first_exceedance"},
		},
		{
			name:  "the company spoke before: its topic is held",
			calls: [][]news.Spike{one(burst(apple, noon, 20, 6)), one(burst(appleLawsuit, soon, 25, 7))},
			want:  []string{"hold AAPL · Lawsuit: company_spoke"},
		},
		{
			name:  "the company spoke, but longer ago than the window",
			calls: [][]news.Spike{one(burst(apple, noon, 20, 6)), one(burst(appleLawsuit, noon.Add(31*time.Minute), 25, 7))},
			want:  []string{"fire AAPL · Lawsuit: first_exceedance"},
		},
		{
			name:  "another company's alert explains nothing",
			calls: [][]news.Spike{one(burst(tesla, noon, 20, 6)), one(burst(apple, soon, 25, 5))},
			want:  []string{"fire AAPL: first_exceedance"},
		},
		{
			name:  "a topic whose texts are the company's",
			calls: [][]news.Spike{one(burst(apple, noon, 20, 6)), one(burst(lawsuit, soon, 22, 5))},
			want:  []string{"hold Lawsuit: narrower_explains"},
		},
		{
			name:  "a topic with other texts",
			calls: [][]news.Spike{one(burst(apple, noon, 20, 6)), one(of(burst(market, soon, 22, 5), "x", "y"))},
			want:  []string{"fire Macro: first_exceedance"},
		},
		{
			name:  "a topic most of whose texts are of a company that has more: the texts that it shows are others",
			calls: [][]news.Spike{one(burst(apple, noon, 20, 6)), one(of(burst(lawsuit, soon, 9, 3), "e", "d", "c", "b"))},
			want:  []string{"hold Lawsuit: narrower_explains"},
		},
		{
			name: "a topic whose texts are those that the company has had since it was told",
			calls: [][]news.Spike{one(burst(apple, noon, 20, 6)),
				one(of(burst(apple, soon, 22, 5.5), "h", "g", "f", "e"), of(burst(lawsuit, soon, 9, 3), "h", "g", "f", "e"))},
			want: []string{"hold AAPL: continues", "hold Lawsuit: narrower_explains"},
		},
		{
			name:  "a topic a quarter of whose texts are the company's",
			calls: [][]news.Spike{one(burst(apple, noon, 20, 6)), one(of(burst(lawsuit, soon, 9, 3), "e", "d", "x", "y"))},
			want:  []string{"fire Lawsuit: first_exceedance"},
		},
		{
			name:  "a company's topic spoke and the company has grown, not to twice that: everything is held by what is known of it",
			calls: [][]news.Spike{one(burst(appleLawsuit, noon, 6, 4)), one(burst(apple, soon, 12, 5), burst(everything, soon, 13, 4))},
			want:  []string{"hold AAPL: narrower_explains", "hold everything: narrower_explains"},
		},
		{
			name:  "a company and its topic spoke: its texts do not count twice",
			calls: [][]news.Spike{one(burst(appleLawsuit, noon, 10, 6)), one(burst(apple, soon, 25, 8)), one(burst(everything, soon, 60, 9))},
			want:  []string{"fire everything: first_exceedance"},
		},
		{
			name:  "a company is not held by a topic",
			calls: [][]news.Spike{one(burst(lawsuit, noon, 20, 6)), one(burst(apple, soon, 20, 5))},
			want:  []string{"fire AAPL: first_exceedance"},
		},
		{
			name:  "everything falls, few companies stand out",
			calls: [][]news.Spike{one(burst(everything, noon, 200, 9), burst(apple, noon, 20, 4), burst(tesla, noon, 15, 4))},
			want:  []string{"fire AAPL: first_exceedance", "fire TSLA: first_exceedance", "fire everything: first_exceedance"},
		},
		{
			name:  "everything spoke before: the topic behind it is held",
			calls: [][]news.Spike{one(burst(everything, noon, 30, 6)), one(burst(market, soon, 25, 7))},
			want:  []string{"hold Macro: same_burst"},
		},
		{
			name:  "everything spoke before: a small topic of its own speaks",
			calls: [][]news.Spike{one(burst(everything, noon, 100, 6)), one(burst(market, soon, 10, 7))},
			want:  []string{"fire Macro: first_exceedance"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := story(emptyState(), testRules, tt.calls...)
			if last := got[len(got)-1]; !slices.Equal(last, tt.want) {
				t.Errorf("got  %q\nwant %q", last, tt.want)
			}
		})
	}
}

// What was held speaks when nothing explains it any more and it is still on.
func TestHeldSpeaksWhenItsCauseEnds(t *testing.T) {
	s := emptyState()
	story(s, testRules, []news.Spike{burst(apple, noon, 20, 6), burst(appleLawsuit, noon, 8, 3)})
	got := story(s, testRules, []news.Spike{burst(appleLawsuit, noon.Add(45*time.Minute), 9, 3.2)})[0]
	if !slices.Equal(got, []string{"fire AAPL · Lawsuit: cause_ended"}) {
		t.Errorf("got %q", got)
	}
}

// What is left of a burst in a longer window is explained by who spoke for the burst.
func TestWhatABurstLeavesIsStillExplained(t *testing.T) {
	left := burst(lawsuit, noon.Add(50*time.Minute), 10, 3)
	left.Window.Length = 4 * time.Hour
	got := story(emptyState(), testRules,
		[]news.Spike{burst(apple, noon, 10, 4), burst(lawsuit, noon, 10, 5)},
		[]news.Spike{left},
	)
	if want := []string{"hold Lawsuit: narrower_explains"}; !slices.Contains(got[0], want[0]) || !slices.Equal(got[1], want) {
		t.Errorf("said %q, want the topic held both times", got)
	}
}

// A silence keeps the alert quiet, not forgotten; the end of a told one is told all the same.
func TestSilencedLife(t *testing.T) {
	s := emptyState()
	s.silences = []Silence{{Entity: "aapl", Until: noon.Add(30 * time.Minute)}}
	got := story(s, testRules,
		[]news.Spike{burst(apple, noon, 10, 3), burst(tesla, noon, 10, 3)},
		[]news.Spike{burst(apple, noon.Add(30*time.Minute), 10, 3)},
	)
	want := [][]string{{"silence AAPL: muted", "fire TSLA: first_exceedance"}, {"fire AAPL: silence_ended", "hold AAPL: continues"}}
	// What people do not want to hear of a company, the topic and everything do not say either.
	quiet := emptyState()
	quiet.silences = s.silences
	got = append(got, story(quiet, testRules, []news.Spike{burst(apple, noon, 10, 3), burst(lawsuit, noon, 9, 3), burst(everything, noon, 11, 3)})...)
	want = append(want, []string{"silence AAPL: muted", "hold Lawsuit: narrower_explains", "hold everything: narrower_explains"})
	// But who silences the series of everything alone hears of its topics.
	alone := emptyState()
	alone.silences = []Silence{{Exact: true, Until: noon.Add(time.Hour)}}
	got = append(got, story(alone, testRules, []news.Spike{burst(everything, noon, 11, 3)}, []news.Spike{burst(lawsuit, noon.Add(time.Minute), 9, 3)})...)
	want = append(want, []string{"silence everything: muted"}, []string{"fire Lawsuit: first_exceedance"})
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("call %d: %q, want %q", i, got[i], want[i])
		}
	}
	s.silences = []Silence{{Entity: "*", Until: noon.Add(24 * time.Hour)}}
	for _, o := range testRules.resolve(s, noon.Add(5*time.Hour)) {
		if len(o.deliveries) != 1 || o.deliveries[0].Action != Resolve || o.alert.Status != news.Resolved {
			t.Errorf("%s: resolution gives %d deliveries", o.alert.Series, len(o.deliveries))
		}
	}
}

// An alert that nobody was told of ends without a word.
func TestUntoldEndsSilently(t *testing.T) {
	s := emptyState()
	s.silences = []Silence{{Topic: "Lawsuit", Until: noon.Add(24 * time.Hour)}}
	story(s, testRules, []news.Spike{burst(appleLawsuit, noon, 10, 3)})
	outcomes := testRules.resolve(s, noon.Add(2*time.Hour))
	if len(outcomes) != 1 || len(outcomes[0].deliveries) != 0 {
		t.Errorf("outcomes %+v", outcomes)
	}
}

func TestRoutes(t *testing.T) {
	routes := []Route{
		{Entities: []string{"AAPL", "TSLA"}, Sink: "slack", Channel: "C1", Continue: true},
		{MinSeverity: news.Critical, Sink: "webhook", Continue: true},
		{Languages: []string{"zh"}, Sink: "feishu", Continue: true},
		{Sources: []string{"wire.example"}, Sink: "slack", Channel: "C4", Continue: true},
		{Topics: []string{"Lawsuit"}, Sink: "slack", Channel: "C2"},
		{Sink: "slack", Channel: "C3"},
	}
	in := func(lang, source string) news.Evidence { return news.Evidence{Lang: lang, Source: source} }
	tests := []struct {
		name     string
		series   news.Series
		severity news.Severity
		evidence []news.Evidence
		want     string
	}{
		{"a company", apple, news.Warning, nil, "slack/C1 slack/C3"},
		{"a critical one", apple, news.Critical, nil, "slack/C1 webhook/ slack/C3"},
		{"its topic", appleLawsuit, news.Warning, nil, "slack/C1 slack/C2"},
		{"a topic", lawsuit, news.Warning, nil, "slack/C2"},
		{"everything", everything, news.Warning, nil, "slack/C3"},
		{"half of it Chinese", everything, news.Warning, []news.Evidence{in("zh", ""), in("en", "")}, "feishu/ slack/C3"},
		{"a third of it Chinese", everything, news.Warning, []news.Evidence{in("zh", ""), in("en", ""), in("en", "")}, "slack/C3"},
		{"one from the wire", everything, news.Warning, []news.Evidence{in("en", ""), in("en", "wire.example")}, "slack/C4 slack/C3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, to := range destinations(routes, news.Alert{Series: tt.series, Severity: tt.severity, Evidence: tt.evidence}, noon) {
				got = append(got, to.to.Sink+"/"+to.to.Channel)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// An alert that becomes critical reaches those who only want critical ones.
func TestEscalationReachesNewDestinations(t *testing.T) {
	u := testRules
	u.routes = []Route{{Sink: "slack", Channel: "C1", Continue: true}, {MinSeverity: news.Critical, Sink: "webhook"}}
	s := emptyState()
	u.consider(s, []news.Spike{burst(apple, noon, 10, 3)}, noon)
	worse := u.consider(s, []news.Spike{burst(apple, noon.Add(time.Minute), 40, 7)}, noon)
	if n := len(worse[0].deliveries); n != 2 {
		t.Fatalf("%d deliveries of the escalation, want 2", n)
	}
	if over := u.resolve(s, noon.Add(3*time.Hour)); len(over[0].deliveries) != 2 || over[0].deliveries[1].Revision != 3 {
		t.Errorf("deliveries of the resolution: %+v", over[0].deliveries)
	}
}

// An alert that came after another of its series is told how it goes on, also where the spike's window reaches back into
// the first: that one's replays are told from it while nothing is open only.
func TestASecondAlertGoesOn(t *testing.T) {
	at := func(d, start time.Duration, negative int, surprise float64) []news.Spike {
		spike := burst(apple, noon.Add(d), negative, surprise)
		spike.StartedAt = noon.Add(start)
		return []news.Spike{spike}
	}
	got := story(emptyState(), testRules,
		at(0, -20*time.Minute, 20, 4),
		at(11*time.Hour, 11*time.Hour-8*time.Minute, 5, 2.2),
		at(11*time.Hour+time.Minute, -20*time.Minute, 33, 6.9),
		at(0, -20*time.Minute, 20, 4), // a replay of the first
	)
	want := [][]string{
		{"fire AAPL: first_exceedance"},
		{"resolve AAPL: quiet", "fire AAPL: first_exceedance"},
		{"escalate AAPL: severity_rose"},
		{"hold AAPL: already_told"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// What was muted and is still on is told when its silence ends, not only with the next spike.
func TestTheEndOfASilenceIsHeard(t *testing.T) {
	s := emptyState()
	s.silence(Silence{ID: "1", Entity: "AAPL", Until: noon.Add(20 * time.Minute)}, noon)
	got := story(s, testRules, []news.Spike{burst(apple, noon, 40, 7)})
	got = append(got, said(testRules.pass(s, noon.Add(20*time.Minute-1))), said(testRules.pass(s, noon.Add(20*time.Minute))),
		said(testRules.pass(s, noon.Add(21*time.Minute))))
	want := [][]string{{"silence AAPL: muted"}, nil, {"fire AAPL: silence_ended"}, nil}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	// Where nobody looked meanwhile, what was over before the silence is not news.
	s = emptyState()
	s.silence(Silence{ID: "1", Entity: "AAPL", Until: noon.Add(2 * time.Hour)}, noon)
	story(s, testRules, []news.Spike{burst(apple, noon, 40, 7)})
	if got := said(testRules.pass(s, noon.Add(3*time.Hour))); !slices.Equal(got, []string{"resolve AAPL: quiet"}) {
		t.Errorf("after both: %v", got)
	}
}

// However a company's bursts follow each other, what the rule finds after an alert was resolved is told.
func TestEachBurstIsTold(t *testing.T) {
	later := 0
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 7))
		rule, desk := trend.NewHistory(trend.Rule{}, 0), NewHistory(Config{Settle: 2 * time.Second})
		read, found, fired := 0, 0, 0
		put := func(at time.Time, negative bool, company string) {
			read++
			mood := news.Sentiment{Negative: .05, Neutral: .85, Positive: .1}
			if negative {
				mood = news.Sentiment{Negative: .95, Neutral: .04, Positive: .01}
			}
			spikes := rule.Observe(&news.Reading{ID: strconv.Itoa(read), PublishedAt: at, Sentiment: mood, Entities: []string{company}}, at)
			for _, said := range desk.Consider(spikes, at) {
				if said.Action == Fire && said.Alert.Series.Entity == "BA" {
					fired++
				}
			}
			if slices.ContainsFunc(spikes, func(s news.Spike) bool { return s.Series.Entity == "BA" }) {
				found++
			}
		}
		burst := func(at time.Time, items int) time.Time {
			for range items {
				at = at.Add(time.Duration(1+random.IntN(4)) * time.Minute)
				put(at, true, "BA")
			}
			return at
		}
		at := noon
		for ; at.Before(noon.AddDate(0, 0, 6)); at = at.Add(5 * time.Minute) {
			put(at, random.Float64() < .2, "E"+strconv.Itoa(random.IntN(20)))
			if random.Float64() < []float64{6, 12, 40}[seed%3]/288 {
				put(at, random.Float64() < .2, "BA")
			}
		}
		for range 8 {
			at = burst(at, 8+random.IntN(12))
			for range random.IntN(4) {
				at = burst(at.Add(time.Duration(20+random.IntN(60))*time.Minute), 1)
			}
			at = at.Add(time.Duration(90+random.IntN(13*60)) * time.Minute)
			desk.Consider(nil, at)
			if _, open := desk.state.open[keyOf(news.Series{Entity: "BA"}, "")]; open {
				continue
			}
			later++
			found, fired = 0, 0
			at = burst(at, 15).Add(90 * time.Minute)
			desk.Consider(nil, at)
			if fired == 0 {
				t.Errorf("seed %d: a burst before %s was found %d times and never told", seed, at, found)
			}
		}
	}
	if later < 50 {
		t.Errorf("%d bursts came after an alert was over: too few to say anything", later)
	}
}
