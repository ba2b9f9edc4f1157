package finetune

import (
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/internal/hub"
)

// The card of what is trained on a model from a hub names the commit, and not the machine it was on.
func TestTheCardNamesWhatWasPulled(t *testing.T) {
	j := &job{best: &fit{}, base: &base{checkpoint: &bert.Checkpoint{}, pulled: hub.Origin{Endpoint: "https://hub.example", Repo: "org/bert", Revision: "main", Commit: "4556d13"}}}
	card := &strings.Builder{}
	j.cardBase(card, Report{})
	if !strings.Contains(card.String(), "It was pulled from org/bert at commit 4556d13.") || strings.Contains(card.String(), "hub.example") {
		t.Errorf("the card says %s", card)
	}
}
