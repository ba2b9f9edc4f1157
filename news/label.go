package news

import "time"

// Label is what a person says of a text: a correction of a reading, the message on the
// labels topic, and a row that `barograph finetune` trains on.
type Label struct {
	ID     string    `json:"id"` // the item's
	At     time.Time `json:"at"`
	Author string    `json:"author"`           // who says so, as the place knows them: "slack:U024BE7LH", "console:jane"
	Task   string    `json:"task"`             // TaskSentiment, TaskTopic or TaskEntity
	Label  string    `json:"label"`            // the right one; of TaskEntity: NotAbout
	Was    string    `json:"was"`              // what the model said
	Entity string    `json:"entity,omitempty"` // the company it is about, where the label is about one
	Lang   string    `json:"lang"`
	Text   string    `json:"text"` // what the model read, Reading.Text
	Model  Model     `json:"model"`
}

// The tasks of a label. The first two are also the tasks of a bundle's heads.
const (
	TaskSentiment = "sentiment"
	TaskTopic     = "topic"
	TaskEntity    = "entity" // whether the text is about the company at all
)

// NotAbout is the label of TaskEntity that says that the text is not about the company.
const NotAbout = "not_about"

// Key is what a label is about: a later label with the same key replaces an earlier one.
// It is the message's key on the labels topic.
func (l Label) Key() string {
	return l.ID + keySeparator + l.Task + keySeparator + l.Entity
}
