package trend

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// decisive are the constants that shape a decision, each as docs/rule.md has it.
func decisive() map[string]string {
	number := func(x float64) string {
		return strings.TrimPrefix(strconv.FormatFloat(x, 'g', 10, 64), "0")
	}
	list := func(unit string, of ...float64) string {
		var parts []string
		for _, x := range of {
			parts = append(parts, number(x))
		}
		return strings.TrimSpace(strings.Join(parts, ", ") + " " + unit)
	}
	seconds := func(x float64) string {
		switch {
		case x < 3600:
			return number(x/60) + " min"
		case x <= 24*3600:
			return number(x/3600) + " h"
		}
		return number(x/86400) + " days"
	}
	long := func(d time.Duration) string { return seconds(d.Seconds()) }
	percent := func(x float64) string { return number(x*100) + " %" }
	var lengths, parts []float64
	for _, w := range windows {
		lengths, parts = append(lengths, float64(w.seconds)/3600), append(parts, w.last*7)
	}
	rule := Rule{}.withDefaults()
	return map[string]string{
		"FalseAlertsPerDay": number(rule.FalseAlertsPerDay), "MinNegative": number(float64(rule.MinNegative)), "WarmUp": long(rule.WarmUp),

		"bucketSeconds": seconds(bucketSeconds), "future": long(future), "DefaultHistory": long(DefaultHistory), "keepSeries": long(keepSeries),
		"LeansFrom": number(LeansFrom), "leanWorth": number(leanWorth),
		"nearBits": number(nearBits), "nearKept": number(nearKept), "nearSlack": number(nearSlack), "nearParts": number(nearParts),
		"nearShort": number(nearShort), "nearHours": seconds(nearHours * 3600), "nearStale": number(nearStale) + " h",
		"recentKept": number(recentKept), "recentLeast": number(recentLeast),

		"bucketsPerChunk": number(bucketsPerChunk), "guardSeconds": seconds(guardSeconds),
		"levelHalfLife": seconds(levelHalfLife), "shareHalfLife": seconds(shareHalfLife),
		"levelPrior": number(levelPrior), "levelUsual": number(levelUsual*86400) + " a day",
		"sharePrior": number(sharePrior), "shareUsual": number(shareUsual), "leaningUsual": number(leaningUsual),
		"copiesUsual": number(copiesUsual), "copiesPrior": number(copiesPrior),
		"hoursOfWeek": number(hoursOfWeek), "profilePrior": number(profilePrior), "profileKeep": number(profileKeep),
		"capDeviations": number(capDeviations), "capClusters": number(capClusters), "capVolume": number(capVolume), "capItems": number(capItems),
		"outageShare": percent(outageShare), "outagePart": percent(outagePart), "outageAround": seconds(outageAround * chunkSeconds),
		"longestOutage": seconds(longestOutage * chunkSeconds), "silentItems": number(silentItems), "longOutage": seconds(longOutage * chunkSeconds), "outageExposure": seconds(outageExposure), "freezeFrom": number(freezeFrom),
		"longestFreeze": seconds(longestFreeze * chunkSeconds), "longestLesson": seconds(longestLesson * chunkSeconds), "storyFactor": number(storyFactor),

		"windows": list("h", lengths...), "windows.last": list("sevenths", parts...), "longestWindow": long(longestWindow),
		"clumpChunks": seconds(clumpChunks * chunkSeconds), "clumpQuiet": number(clumpQuiet), "clumpMost": number(clumpMost), "clumpPairs": number(clumpPairs),
		"clumpUsual": number(clumpUsual), "clumpMore": number(clumpMore), "clumpLess": number(clumpLess), "clustersMost": number(clustersMost),
		"clusters": number(clusters), "mood": number(mood), "volumeShape": number(volumeShape),
		"lowVolume": number(lowVolume), "nearbyWorth": number(nearbyWorth), "twoHours": seconds(float64(windows[twoHours].seconds)),
		"surgeChance": percent(surgeChance), "surgeMean": number(surgeMean), "surgeShape": number(surgeShape),
		"multiples": list("", multiples[:]...), "recognised": number(recognised),
		"echoMean": number(echoMean), "echoUsual": number(echoUsual), "echoSpread": number(echoSpread), "echoUnknown": number(echoUnknown),
		"echoBurst": number(echoBurst), "echoHalf": number(echoHalf), "largeFrom": number(largeFrom), "largeMost": number(largeMost),
		"echoFloor": number(echoFloor), "spillShare": percent(spillShare), "spillLeast": number(spillLeast),
		"oddsScale": number(oddsScale), "halfDay": seconds(halfDay), "Quiet": long(Quiet(0)),

		"leastSurprise": number(leastSurprise), "episodeFrom": number(episodeFrom), "episodeTo": number(episodeTo),
		"episodeBins": number(episodeBins), "episodeDays": number(episodeDays), "ofChance": number(ofChance),
		"bend": number(bend), "straightFrom": number(straightFrom), "usualDecay": number(usualDecay), "usualEpisodes": number(usualEpisodes),
		"slowestDecay": number(slowestDecay), "fastestDecay": number(fastestDecay),
		"usualRate": number(usualRate*200) + " / 200", "usualRateDays": number(usualRateDays),
		"calibrateFrom": seconds(calibrateFrom), "calibrateEvery": long(calibrateEvery), "untilStep": long(untilStep),
	}
}

// indecisive are the other constants of the package: of storage, speed and display, or made of those above.
var indecisive = strings.Fields(`
baseSize outageSize shortOutageSize noTrouble someFailed allSilent baseVersion marketCode shards shortCounts shortList tooLong tooMany tooOld unread addUp
idParts textParts keySeparator adoptAttempts
keepEvidence keepNear keepPeaks keepMonth learnWithin batch reads attempts attemptTimeout learnAttempts scanCalls scanCount sampleStep BusyItems
evidenceSeparator longestID longestSource longestTitle longestURL keptSources keptTexts shown smallestP
BucketLength chunkSeconds bucketsPerHour bucketsPerDay markNegative markPositive markVolume markLeans markLeansPositive
LeastSurprise clumpScale Spiked Told mostTold NearMiss Usual TooFew WarmingUp
`)

var documented = regexp.MustCompile("(?m)^\\| `([A-Za-z.]+)` \\| ([^|]*) \\| [^|]+ \\|$")

// The table of docs/rule.md has all that shapes a decision, with the numbers of the code.
func TestTheDocsHaveTheConstantsOfTheRule(t *testing.T) {
	text, err := os.ReadFile("../docs/rule.md")
	if err != nil {
		t.Fatal(err)
	}
	want := decisive()
	seen := map[string]bool{}
	for _, row := range documented.FindAllStringSubmatch(string(text), -1) {
		name, value := row[1], row[2]
		switch of, known := want[name]; {
		case !known:
			t.Errorf("docs/rule.md has a constant %s that this test does not know", name)
		case seen[name]:
			t.Errorf("docs/rule.md has %s twice", name)
		case value != of:
			t.Errorf("docs/rule.md says %s = %q, the code has %q", name, value, of)
		}
		seen[name] = true
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("docs/rule.md has no row for %s", name)
		}
	}
	all := constants(t)
	for _, name := range indecisive {
		if !slices.Contains(all, name) {
			t.Errorf("there is no constant %s any more: leave it out of this test", name)
		}
	}
	for _, name := range all {
		if _, known := want[name]; !known && !slices.Contains(indecisive, name) {
			t.Errorf("the constant %s is in neither list of this test: does it shape a decision? Then it wants a row in docs/rule.md", name)
		}
	}
}

// constants are the names of the package's constants.
func constants(t *testing.T) (names []string) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if of, ok := decl.(*ast.GenDecl); ok && of.Tok == token.CONST {
				for _, spec := range of.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	if len(names) < 50 {
		t.Fatalf("only %d constants found in trend: %v", len(names), names)
	}
	return names
}
