package finetune

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
)

// rows makes a source's rows of "text|label" or "text|label|entity".
func rows(lines ...string) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for i, line := range lines {
			parts := strings.Split(line, "|")
			fields := map[string]string{"text": parts[0], "sentiment": parts[1]}
			if len(parts) > 2 {
				fields["entity"] = parts[2]
			}
			if !yield(Row{At: "line " + string(rune('2'+i)), Fields: fields}) {
				return
			}
		}
	}
}

var sentiment = bert.Head{Task: "sentiment", Labels: []string{"negative", "neutral", "positive"}}

func TestDuplicatesAndConflictsAreCountedAndTheFirstStays(t *testing.T) {
	s := Source{Task: "sentiment", Name: "a.csv", Rows: rows("up|positive", "down|Negative", "up|positive", "down|neutral", "up| positive ")}
	examples, found, err := Read(s, sentiment, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(examples) != 2 || examples[1].Labels[0] != 0 || found.Rows != 5 || found.Duplicates != 2 || found.Conflicts != 1 {
		t.Errorf("%d examples, %+v", len(examples), found)
	}
	if len(found.First) != 1 || !strings.Contains(found.First[0], "line 5") || !strings.Contains(found.First[0], "line 3") {
		t.Errorf("the conflict is told as %q: both lines are wanted", found.First)
	}
}

// What is wrong with all rows is said once.
func TestAFaultOfManyRowsIsSaidOnce(t *testing.T) {
	var rows []Row
	for i := range 9 {
		row := Row{At: fmt.Sprint("line ", i+2), Fields: map[string]string{"body": "x", "sentiment": "neutral"}}
		if i == 4 {
			row.Fields = map[string]string{"text": "x", "sentiment": "angry"}
		}
		rows = append(rows, row)
	}
	_, _, err := Read(Source{Task: "sentiment", Name: "a.csv", Rows: slices.Values(rows)}, sentiment, false)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "a.csv: line 2, and 7 further rows: there is no column") || !strings.HasPrefix(lines[2], "a.csv: line 6: ") {
		t.Errorf("said %q", lines)
	}
}

func TestBadRowsAreNamedWithTheirLine(t *testing.T) {
	for name, row := range map[string]Row{
		"unknown label":      {At: "line 7", Fields: map[string]string{"text": "x", "sentiment": "angry"}},
		"empty label":        {At: "line 7", Fields: map[string]string{"text": "x", "sentiment": ""}},
		"no label column":    {At: "line 7", Fields: map[string]string{"text": "x", "mood": "neutral"}},
		"no text column":     {At: "line 7", Fields: map[string]string{"body": "x", "sentiment": "neutral"}},
		"only a link":        {At: "line 7", Fields: map[string]string{"text": "https://t.co/x ", "sentiment": "neutral"}},
		"what reading found": {At: "line 7", Err: errors.New("a bare quote")},
		"broken entities":    {At: "line 7", Fields: map[string]string{"text": "x", "entities_json": `{"A": 3}`}},
		"no entity":          {At: "line 7", Fields: map[string]string{"text": "x", "entities_json": `{}`}},
		"unlike and unknown": {At: "line 7", Fields: map[string]string{"text": "x", "entities_json": `{"A": "neutral", "B": "angry"}`}},
	} {
		s := Source{Task: "sentiment", Name: "a.csv", Rows: slices.Values([]Row{row})}
		_, _, err := Read(s, sentiment, false)
		if !errors.Is(err, ErrRows) || !strings.Contains(err.Error(), "a.csv: line 7: ") {
			t.Errorf("%s: %v", name, err)
		}
		r := newReader([]bert.Head{sentiment}, true)
		s.Rows = slices.Values([]Row{row, {At: "line 8", Fields: map[string]string{"text": "x", "sentiment": "neutral"}}})
		if got, err := r.take([]Source{s}); err != nil || len(got) != 1 || r.found.Bad != 1 {
			t.Errorf("%s, left out as asked: %d examples, %+v, %v", name, len(got), r.found, err)
		}
	}
}

// TestARowOfEntitiesIsTakenWholeOrNotAtAll: what is wrong with one of its entities leaves none
// of it, and is named with file, line and entity.
func TestARowOfEntitiesIsTakenWholeOrNotAtAll(t *testing.T) {
	for object, named := range map[string]string{
		`{"Nokia": "negative", "Ericsson": "happy"}`:                        `"Ericsson"`,
		`{"Nokia": "negative", "Ericsson": ""}`:                             `"Ericsson"`,
		`{"Nokia": "negative", "": "positive"}`:                             "no name",
		`{"Nokia": "negative"`:                                              "JSON",
		`{'Nokia': 'negative'}`:                                             "JSON",
		`["Nokia", "Ericsson"]`:                                             "JSON",
		`{"Nokia": 1}`:                                                      "JSON",
		`{"Nokia": "negative", "Ericsson": "positive", "Nokia": "neutral"}`: `"Nokia" is named twice`,
		`{"Nokia": "negative", "No\u006bia ": "negative"}`:                  `"Nokia" is named twice`,
	} {
		bad := Row{At: "line 2", Fields: map[string]string{"text": "Nokia falls as Ericsson wins order", "companies": object}}
		good := Row{At: "line 3", Fields: map[string]string{"text": "Banks rally", "companies": `{"SBI": "positive"}`}}
		s := Source{Task: "sentiment", Name: "a.csv", Entity: "companies", Rows: slices.Values([]Row{bad, good})}
		_, _, err := Read(s, sentiment, false)
		if !errors.Is(err, ErrRows) || !strings.Contains(err.Error(), "a.csv: line 2: ") || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: %v", object, err)
		}
		left, found, err := Read(s, sentiment, true)
		if err != nil || len(left) != 1 || left[0].Entity != "SBI" || found.Bad != 1 {
			t.Errorf("%s, left out as asked: %d examples, %+v, %v", object, len(left), found, err)
		}
		if len(found.First) != 1 || !strings.Contains(found.First[0], "a.csv: line 2: ") {
			t.Errorf("%s: the person is told %q", object, found.First)
		}
	}
}

func TestHeadlinesWithEntities(t *testing.T) {
	nokia := Row{At: "line 2", Fields: map[string]string{"title": "Nokia falls as Ericsson wins order", "entities_json": `{"Nokia":"negative","Ericsson":"positive"}`}}
	both := Row{At: "line 3", Fields: map[string]string{"title": "Banks rally", "entities_json": `{"ICICI":"positive","SBI":"positive"}`}}
	whole, found, err := Read(Source{Task: "sentiment", Rows: slices.Values([]Row{nokia, both})}, sentiment, false)
	if err != nil || len(whole) != 1 || whole[0].Entity != "" || whole[0].Labels[0] != 2 || found.Mixed != 1 {
		t.Errorf("as a whole: %d examples, %+v, %v", len(whole), found, err)
	}
	each, _, err := Read(Source{Task: "sentiment", Entity: "entities_json", Rows: slices.Values([]Row{nokia, both})}, sentiment, false)
	if err != nil || len(each) != 4 {
		t.Fatalf("for each entity: %d examples, %v", len(each), err)
	}
	if e := each[0]; e.Entity != "Ericsson" || e.Labels[0] != 2 || each[1].Entity != "Nokia" || each[1].Labels[0] != 0 {
		t.Errorf("the first headline's entities are %+v and %+v", each[0], each[1])
	}
	if plain, _, err := Read(Source{Task: "sentiment", Entity: "entities_json", Rows: rows("Banks rally|positive")}, sentiment, false); err != nil || len(plain) != 1 || plain[0].Entity != "" {
		t.Errorf("a file without the column: %+v, %v", plain, err)
	}
	named, _, err := Read(Source{Task: "sentiment", Entity: "entity", Rows: rows("Banks rally|positive|SBI")}, sentiment, false)
	if err != nil || len(named) != 1 || named[0].Entity != "SBI" {
		t.Errorf("an entity in a column of its own: %+v, %v", named, err)
	}
}

// TestTwoTasksMeetInOneExample where they label the same text, and new labels are sorted.
func TestTwoTasksMeetInOneExample(t *testing.T) {
	topics := slices.Values([]Row{
		{At: "line 2", Fields: map[string]string{"text": "up", "topic": "Shares"}},
		{At: "line 3", Fields: map[string]string{"text": "gold", "topic": "Metals"}},
	})
	r := newReader([]bert.Head{{Task: "sentiment"}, {Task: "topic"}}, false)
	examples, err := r.take([]Source{
		{Task: "sentiment", Name: "a", Rows: rows("up|positive"), Weight: 0.7},
		{Task: "topic", Name: "b", Rows: topics},
	})
	if err == nil {
		err = r.finish(examples)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.heads[1].Labels, []string{"Metals", "Shares"}) {
		t.Errorf("topics are %q", r.heads[1].Labels)
	}
	up, gold := examples[0], examples[1]
	if !slices.Equal(up.Labels, []int{2, 1}) || !slices.Equal(up.Weights, []float32{0.7, 1}) || !slices.Equal(up.Sources, []int{0, 1}) || !slices.Equal(gold.Labels, []int{-1, 0}) {
		t.Errorf("up is %+v, gold %+v", up, gold)
	}
}

// TestRowsOfOneFileHaveOneLabelOrBoth: a file that is given for two tasks is read for each, and a
// row without a label of one of them is a row of the other. A row without any is at fault, once.
func TestRowsOfOneFileHaveOneLabelOrBoth(t *testing.T) {
	all := []Row{
		{At: "line 2", Fields: map[string]string{"text": "up", "sentiment": "positive", "topic": "Shares"}},
		{At: "line 3", Fields: map[string]string{"text": "down", "sentiment": "negative", "topic": " "}},
		{At: "line 4", Fields: map[string]string{"text": "gold", "topic": "Metals"}},
	}
	read := func(skipBad bool, more ...Row) ([]*Example, Findings, error) {
		lines := append(slices.Clone(all), more...)
		r := newReader([]bert.Head{sentiment, {Task: "topic", Labels: []string{"Metals", "Shares"}}}, skipBad)
		examples, err := r.take([]Source{
			{Task: "sentiment", Name: "both.csv", SHA256: "1", Rows: slices.Values(lines)},
			{Task: "topic", Name: "both.csv", SHA256: "1", Rows: slices.Values(lines)},
		})
		return examples, r.found, err
	}
	examples, found, err := read(false)
	if err != nil || len(examples) != 3 || found.Rows != 3 || found.Bad != 0 {
		t.Fatalf("%d examples, %+v, %v", len(examples), found, err)
	}
	for i, want := range [][]int{{2, 1}, {0, -1}, {-1, 0}} {
		if !slices.Equal(examples[i].Labels, want) {
			t.Errorf("%q has the labels %v, want %v", examples[i].Text, examples[i].Labels, want)
		}
	}
	for name, bad := range map[string]Row{
		"it has no label of sentiment or topic": {At: "line 5", Fields: map[string]string{"text": "flat", "sentiment": ""}},
		"the text is empty":                     {At: "line 5", Fields: map[string]string{"text": "", "sentiment": "neutral", "topic": "Metals"}},
		"the label of topic is":                 {At: "line 5", Fields: map[string]string{"text": "flat", "topic": "Music"}},
	} {
		_, _, err := read(false, bad)
		if !errors.Is(err, ErrRows) || strings.Count(err.Error(), "both.csv: line 5: "+name) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if examples, found, err := read(true, bad); err != nil || len(examples) != 3 || found.Rows != 4 || found.Bad != 1 {
			t.Errorf("%s, left out as asked: %d examples, %+v, %v", name, len(examples), found, err)
		}
	}
	for i := range all {
		delete(all[i].Fields, "topic")
	}
	if _, _, err := read(true); !errors.Is(err, ErrRows) || !strings.Contains(err.Error(), "no row has a label of topic: there is no column topic") {
		t.Errorf("without a column topic: %v", err)
	}
}

// TestATopicIsOfTheTextWhicheverCompanyItIsReadFor: an object of companies has their sentiments, and
// names the companies that a topic is read for. A row with a company may have a label of one task.
func TestATopicIsOfTheTextWhicheverCompanyItIsReadFor(t *testing.T) {
	lines := []Row{
		{At: "line 2", Fields: map[string]string{"text": "Nokia falls as Ericsson wins order", "about": `{"Nokia": "negative", "Ericsson": "positive"}`, "topic": "Shares"}},
		{At: "line 3", Fields: map[string]string{"text": "Banks rally", "about": "SBI", "topic": "Shares"}},
		{At: "line 4", Fields: map[string]string{"text": "Gold", "about": "Barrick", "sentiment": "neutral", "topic": ""}},
	}
	r := newReader([]bert.Head{sentiment, {Task: "topic", Labels: []string{"Metals", "Shares"}}}, false)
	examples, err := r.take([]Source{
		{Task: "sentiment", Name: "a", SHA256: "1", Entity: "about", Rows: slices.Values(lines)},
		{Task: "topic", Name: "a", SHA256: "1", Entity: "about", Rows: slices.Values(lines)},
	})
	if err != nil || len(examples) != 4 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, e := range examples {
		want := map[string][]int{"Nokia": {0, 1}, "Ericsson": {2, 1}, "SBI": {-1, 1}, "Barrick": {1, -1}}[e.Entity]
		if !slices.Equal(e.Labels, want) {
			t.Errorf("for %q the labels are %v, want %v", e.Entity, e.Labels, want)
		}
	}
}

func TestNewHeadsComeAfterTheBasesAndSentimentFirst(t *testing.T) {
	tasks := func(heads []bert.Head) (out []string) {
		for _, h := range heads {
			out = append(out, h.Task)
		}
		return out
	}
	bare, topical := &base{}, &base{heads: []bert.Head{{Task: "topic", Labels: []string{"a", "b"}}}}
	if got := tasks(bare.withTasks([]string{"topic", "sentiment", "topic", "mood"})); !slices.Equal(got, []string{"sentiment", "mood", "topic"}) {
		t.Errorf("on a bare base: %q", got)
	}
	if got := tasks(topical.withTasks([]string{"sentiment", "topic"})); !slices.Equal(got, []string{"topic", "sentiment"}) {
		t.Errorf("on a bundle: %q", got)
	}
}

// What cannot teach a head is refused before training: no row, one label only, nothing to
// validate on. A label without a row is noted.
func TestRowsThatTeachNothing(t *testing.T) {
	head := bert.Head{Task: "sentiment", Labels: []string{"negative", "neutral", "positive"}}
	labelled := func(labels ...int) (out []*Example) {
		for _, l := range labels {
			out = append(out, &Example{Labels: []int{l}})
		}
		return out
	}
	for name, c := range map[string]struct {
		train, valid []*Example
		untaught     int
		refused      bool
	}{
		"nothing":           {nil, nil, 0, true},
		"unlabelled":        {labelled(-1, -1), labelled(0), 0, true},
		"one label":         {labelled(1, 1, 1), labelled(1), 0, true},
		"no validation row": {labelled(0, 1), labelled(-1), 0, true},
		"two labels":        {labelled(0, 2), labelled(0), 1, false},
		"all labels":        {labelled(0, 1, 2), labelled(0), 0, false},
	} {
		j := &job{data: dataset{train: c.train, valid: c.valid}}
		if err := j.enough(0, head); errors.Is(err, ErrRows) != c.refused || len(j.summary.Untaught) != c.untaught {
			t.Errorf("%s: %v, untaught %q", name, err, j.summary.Untaught)
		}
	}
}
