package finetune

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/news"
)

// ErrRows is wrapped by errors about labelled rows that cannot be used.
var ErrRows = errors.New("rows cannot be used")

// Row is one row of a labelled file: its fields by name, or what is wrong with it.
type Row struct {
	At     string // where in the source: "line 12"
	Fields map[string]string
	Err    error
}

// Source is where labelled rows of one task come from.
type Source struct {
	Task   string        // of the head that the labels are for
	Name   string        // for errors: the file as it was given
	Short  string        // for the model card, which names no machine; "" is Name
	SHA256 string        // of the file, for the model card; "" where there is none. Sources of one file and several tasks need one label a row
	Rows   iter.Seq[Row] // read once

	Text   string  // column with the text; "" is text or, where there is none, title
	Label  string  // column with the label; "" is the task's name or, for sentiment where there is none, entities_json
	Entity string  // column with the entity that the label is about, or an object of entities and sentiments; "" reads texts as a whole, as an empty or missing field does
	Weight float64 // of each row in the loss; 0 is 1

	// Others are tasks that a row may have a label of instead, in the columns that Text, Entity and the
	// task's name say. Such a row is passed over and counted; without them it is at fault.
	Others []string
}

// EntitiesColumn is SEntFiN's: a JSON object of entity and label.
const EntitiesColumn = "entities_json"

// Example is a labelled text.
type Example struct {
	Text, Entity string    // as they were read, links and all
	At           string    // where in its first source it is
	Labels       []int     // by head: which of its labels, or -1 for none
	Weights      []float32 // by head, in the loss
	Sources      []int     // by head: which source says so
	first        int       // source

	ids    []int32 // special tokens included
	types  []int32
	taught [][]float64 // by head, what the teachers say on average, [label]; nil without
	soft   [][]float64 // by head, in place of a label: what the base says, [label]; nil where none is kept
}

// labelled is what one row says of one text.
type labelled struct{ text, entity, label, at string }

// read takes the text, the entities and the labels out of a row: an object of entities gives
// one for each. whole says that they are to be read as one text, for their common label.
func (s Source) read(row Row) (all []labelled, whole bool, err error) {
	if row.Err != nil {
		return nil, false, row.Err
	}
	text, err := s.field(row, s.Text, "text", "title")
	if err != nil {
		return nil, false, err
	}
	if strings.TrimSpace(classify.StripURLs(text)) == "" {
		return nil, false, errors.New("the text is empty, links aside")
	}
	if entity := strings.TrimSpace(row.Fields[s.Entity]); s.Entity != "" && entity != "" {
		all, err = s.ofEntities(row, text, entity)
		return all, false, err
	}
	label, err := s.label(row)
	if err != nil {
		return nil, false, err
	}
	if !isJSON(label) {
		return []labelled{{text, "", label, row.At}}, false, nil
	}
	all, err = perEntity(text, label, row.At)
	return all, true, err
}

// ofEntities are a row's labels toward what its entity column names. An object gives each entity's
// sentiment; a label of another task is the text's, whichever entity it is read for.
func (s Source) ofEntities(row Row, text, column string) ([]labelled, error) {
	if s.Task == news.TaskSentiment && isJSON(column) {
		return perEntity(text, column, row.At)
	}
	label, err := s.label(row)
	if err != nil || !isJSON(column) {
		return []labelled{{text, column, label, row.At}}, err
	}
	all, err := perEntity(text, column, row.At)
	for i := range all {
		all[i].label = label
	}
	return all, err
}

// Labelled tells a row that has a label of the source's task, right or wrong, from one that has none.
func (s Source) Labelled(row Row) bool {
	if s.Task == news.TaskSentiment && s.Entity != "" && isJSON(row.Fields[s.Entity]) {
		return true
	}
	label, err := s.label(row)
	return err == nil && strings.TrimSpace(label) != ""
}

// elsewhere says whether a row is at fault for no more than that its label is of one of Others.
func (s Source) elsewhere(row Row, err error) bool {
	var none unlabelled
	return errors.As(err, &none) && slices.ContainsFunc(s.Others, func(task string) bool {
		return Source{Task: task, Entity: s.Entity}.Labelled(row)
	})
}

// isJSON tells an object, or what somebody took for one, from a name.
func isJSON(s string) bool {
	s = strings.TrimSpace(s)
	return strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[")
}

// label is the column with the label; a row that has none is unlabelled.
func (s Source) label(row Row) (string, error) {
	columns := []string{s.Task}
	if s.Task == news.TaskSentiment {
		columns = append(columns, EntitiesColumn)
	}
	label, err := s.field(row, s.Label, columns...)
	if err != nil {
		err = unlabelled{err}
	}
	return label, err
}

// field is the column of that name or, where none is named, the first of those that there is.
func (s Source) field(row Row, named string, otherwise ...string) (string, error) {
	if named != "" {
		otherwise = []string{named}
	}
	for _, name := range otherwise {
		if value, ok := row.Fields[name]; ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("there is no column %s (it has %s); name the columns by --text-column and --label-column",
		strings.Join(otherwise, " or "), strings.Join(slices.Sorted(maps.Keys(row.Fields)), ", "))
}

func perEntity(text, object, at string) ([]labelled, error) {
	var labels map[string]string
	if err := json.Unmarshal([]byte(object), &labels); err != nil {
		return nil, fmt.Errorf(`the entities are no JSON object of entity and label, such as {"Nokia": "negative"}: %w`, err)
	}
	if len(labels) == 0 {
		return nil, errors.New("there is no entity")
	}
	if twice := namedTwice(object); twice != "" {
		return nil, fmt.Errorf("the entity %q is named twice", twice)
	}
	var out []labelled
	for _, entity := range slices.Sorted(maps.Keys(labels)) {
		if strings.TrimSpace(entity) == "" {
			return nil, errors.New("an entity has no name")
		}
		out = append(out, labelled{text, strings.TrimSpace(entity), labels[entity], at})
	}
	return out, nil
}

// namedTwice is an entity that an object of entities names more than once, or "": of such, a
// map would keep the last label and not say so.
func namedTwice(object string) string {
	seen := map[string]bool{}
	tokens := json.NewDecoder(strings.NewReader(object))
	_, _ = tokens.Token() // the brace: what comes here was read as an object of strings
	for tokens.More() {
		name, _ := tokens.Token()
		entity := strings.TrimSpace(fmt.Sprint(name))
		if seen[entity] {
			return entity
		}
		seen[entity] = true
		_, _ = tokens.Token() // its label
	}
	return ""
}

// canonical is a label as heads spell it: those of sentiment are small.
func canonical(task, label string) string {
	label = strings.TrimSpace(label)
	if task == news.TaskSentiment {
		return strings.ToLower(label)
	}
	return label
}
