package alert

import (
	"context"
	"fmt"
	"time"

	"github.com/barograph/barograph/news"
)

// Sink tells people or programs of alerts.
type Sink interface {
	// Check says what is wrong with routing to the channel ("" = none named). No network.
	Check(channel string) error
	// Deliver sends one message and returns what to call it in later deliveries of the
	// same alert to the same channel (Delivery.Ref), also where only a part of it was sent:
	// the next attempt goes on from there. It returns by ctx's deadline. An error that is
	// not a *DeliveryError is tried again, as one of unknown outcome. A sink that does not
	// show what people did leaves Annotate out.
	Deliver(ctx context.Context, d Delivery) (ref string, err error)
}

// Delivery is one message to send.
type Delivery struct {
	Alert    news.Alert
	Action   Action // Fire, Escalate, Annotate or Resolve
	Revision int    // 1 for the first message about the alert, one up with each
	Channel  string
	Ref      string    // of the alert's former message in this channel; "" if there is none
	QueuedAt time.Time // when it was decided
	// Unsure says that an earlier attempt may have arrived: its answer was lost, or its
	// worker died. A sink that can look, looks before it sends again.
	Unsure bool
	// Console is Config.Console, for messages that link there.
	Console string
	// Digest is what is told instead of one alert, by sinks that are a Digester; Alert has
	// only its ID, status and start then. nil = Alert.
	Digest *Digest
}

// Key names this state of the alert for receivers that drop what they have seen.
func (d Delivery) Key() string {
	return fmt.Sprintf("%s-%s-%d", d.Alert.ID, d.Alert.Status, d.Revision)
}

// DeliveryError is what a sink knows about its failure.
type DeliveryError struct {
	Err       error
	After     time.Duration // the receiver asked to wait so long
	Refused   bool          // the receiver said no: certainly not delivered
	Hopeless  bool          // this message will never be taken: give it up at once
	Misplaced bool          // token, channel or address are at fault: try slowly until someone mends it
}

// Error implements error.
func (e *DeliveryError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *DeliveryError) Unwrap() error { return e.Err }
