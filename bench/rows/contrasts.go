package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/barograph/barograph/finetune"
)

// clause is a headline that says one thing of one company, whose name it begins with.
type clause struct{ name, rest, sentiment string }

// longest is how many words a clause has at most.
const longest = 8

// conjunctions join two clauses to a headline.
var conjunctions = []string{" as ", " as ", " while ", ", but ", ", ", "; ", " and "}

// contrasts writes headlines of two clauses from SEntFiN's training rows, for SEntFiN has few whose companies
// fare differently. In two fifths they fare alike: without these a bundle learns that they never do. A name
// gives way to another one in half of the clauses, so that it is the place in the sentence that counts. None is a
// validation row by finetune's split by hash.
func contrasts(from, to string) error {
	rows, err := read(from)
	if err != nil {
		return err
	}
	clauses := map[string][]clause{}
	var names []string
	for i, row := range rows {
		if finetune.InValidation(row[0]) {
			continue
		}
		var sentiments map[string]string
		if err := json.Unmarshal([]byte(row[1]), &sentiments); err != nil {
			return fmt.Errorf("%s: row %d: %w", from, i+2, err)
		}
		if len(sentiments) > 1 || len(strings.Fields(row[0])) > longest || strings.ContainsAny(row[0], ":?'\"") {
			continue
		}
		for name, sentiment := range sentiments {
			if rest, ok := strings.CutPrefix(row[0], name+" "); ok && name[0] >= 'A' && name[0] <= 'Z' {
				clauses[sentiment] = append(clauses[sentiment], clause{name, rest, sentiment})
				names = append(names, name)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	some := func(sentiment string) clause {
		c := clauses[sentiment][random.IntN(len(clauses[sentiment]))]
		if random.IntN(2) == 0 {
			c.name = names[random.IntN(len(names))]
		}
		// Indian headlines bag what others win.
		if random.IntN(2) == 0 {
			c.rest = strings.Replace(c.rest, "bags ", "wins ", 1)
		}
		return c
	}
	kept := [][]string{{"title", "entities_json"}}
	for _, pair := range []struct {
		first, second string
		rows          int
	}{
		{"negative", "positive", 400}, {"positive", "negative", 400},
		{"neutral", "positive", 150}, {"positive", "neutral", 150}, {"neutral", "negative", 150}, {"negative", "neutral", 150},
		{"positive", "positive", 300}, {"negative", "negative", 300}, {"neutral", "neutral", 300},
	} {
		for made := 0; made < pair.rows; {
			a, b := some(pair.first), some(pair.second)
			title := a.name + " " + a.rest + conjunctions[random.IntN(len(conjunctions))] + b.name + " " + b.rest
			if strings.Contains(a.name, b.name) || strings.Contains(b.name, a.name) || finetune.InValidation(title) {
				continue
			}
			entities, err := json.Marshal(map[string]string{a.name: a.sentiment, b.name: b.sentiment})
			if err != nil {
				return err
			}
			kept = append(kept, []string{title, string(entities)})
			made++
		}
	}
	return write(to, kept)
}
