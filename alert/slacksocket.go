package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// SlackActionsConfig is what SlackActions need. Slack, with an app token, and Desk are
// required.
type SlackActionsConfig struct {
	Slack    *Slack
	Desk     *Desk
	Channels []string // where buttons and commands count: those that routes name, by ID or #name

	// Corrections take what the "wrong" buttons say, and Reading finds what the model read:
	// the item's reading that came at about a time or later. Where there is one toward each of
	// its companies, it is that toward entity, and toward is entity. Both or none; none: no
	// "wrong".
	Corrections *Corrections
	Reading     func(ctx context.Context, id, entity string, since time.Time) (r news.Reading, toward string, err error)

	// Picture describes the series that a person's words name. nil: no command.
	Picture func(ctx context.Context, words string) (Picture, error)

	Log        *slog.Logger // nil = slog.Default()
	Registerer prometheus.Registerer
}

// SlackActions answer buttons and the slash command over Slack's Socket Mode: the connection
// goes out, nothing listens. Every replica may run them; Slack gives each press to one. A
// press is acknowledged at once (Slack wants it within 3 s) and given again by Slack where
// that is lost; what it does may be done twice without harm. Presses from other workspaces,
// and from channels that no route names, are ignored.
//
// docs.slack.dev/apis/events-api/using-socket-mode
type SlackActions struct {
	cfg       SlackActionsConfig
	team      string // the bot's own; set by Run
	presses   *prometheus.CounterVec
	connected prometheus.Gauge
	log       *slog.Logger
}

// NewSlackActions checks the configuration. It makes no network call.
func NewSlackActions(cfg SlackActionsConfig) (*SlackActions, error) {
	switch {
	case cfg.Slack == nil || !cfg.Slack.buttons:
		return nil, errors.New("slack buttons: no app token (it begins with xapp-)")
	case cfg.Desk == nil:
		return nil, errors.New("slack buttons: no desk")
	case (cfg.Corrections == nil) != (cfg.Reading == nil):
		return nil, errors.New("slack buttons: corrections go together with readings")
	}
	orElse(&cfg.Log, slog.Default())
	s := &SlackActions{cfg: cfg, log: cfg.Log,
		presses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_alert_slack_actions_total", Help: "Buttons and commands in Slack, by what was asked and result (done, ignored, failed)."}, []string{"action", "result"}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_alert_slack_socket_up", Help: "1 while the connection for buttons and commands is up."}),
	}
	if cfg.Registerer != nil {
		if err := errors.Join(cfg.Registerer.Register(s.presses), cfg.Registerer.Register(s.connected)); err != nil {
			return nil, fmt.Errorf("slack buttons: registering metrics: %w", err)
		}
	}
	return s, nil
}

const (
	socketAtOnce = 8                // presses worked on at once; more wait
	socketTime   = 45 * time.Second // for one
	socketLast   = 5 * time.Second  // for those under way at the end
)

// Run answers until ctx ends, finishes what is under way, and returns nil. A connection that
// breaks, or that Slack ends, is made again; also after a wrong token, slowly: somebody may
// mend it.
func (s *SlackActions) Run(ctx context.Context) error {
	policy := retry.Policy{First: 2 * time.Second, Max: 2 * time.Minute, OnRetry: func(err error) {
		if ctx.Err() == nil {
			s.log.Warn("slack buttons: no connection, trying again", "error", err)
		}
	}}
	err := retry.Do(ctx, policy, func(ctx context.Context) error {
		who, err := s.cfg.Slack.client.AuthTestContext(ctx)
		if err != nil {
			return fmt.Errorf("auth.test: %w", err)
		}
		s.team = who.TeamID
		return s.connect(ctx)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// connect holds a connection, made again as often as it breaks, until ctx ends or Slack
// refuses the token.
func (s *SlackActions) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	socket := socketmode.New(s.cfg.Slack.client, socketmode.OptionLog(log.New(io.Discard, "", 0)), socketmode.OptionReadLimit(1<<20))
	ended := make(chan error, 1)
	go func() { ended <- socket.RunContext(ctx) }()
	defer s.connected.Set(0)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var working sync.WaitGroup
	defer func() {
		defer time.AfterFunc(socketLast, stop).Stop()
		working.Wait()
	}()
	room := make(chan struct{}, socketAtOnce)
	for {
		select {
		case err := <-ended:
			return err
		case event := <-socket.Events:
			s.watch(ctx, event)
			if event.Request == nil || event.Request.EnvelopeID == "" {
				continue
			}
			if err := socket.AckCtx(ctx, event.Request.EnvelopeID, nil); err != nil {
				continue // the end, or a connection that is gone: Slack gives it again
			}
			working.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
				s.confined(work, event)
			})
		}
	}
}

func (s *SlackActions) watch(ctx context.Context, event socketmode.Event) {
	switch event.Type {
	case socketmode.EventTypeHello:
		s.connected.Set(1)
	case socketmode.EventTypeConnecting:
		s.connected.Set(0)
	case socketmode.EventTypeConnectionError:
		if failed, is := event.Data.(*slack.ConnectionErrorEvent); is && ctx.Err() == nil {
			s.log.Warn("slack buttons: no connection, trying again", "error", failed.ErrorObj, "pause", failed.Backoff)
		}
	}
}

// confined handles an event; a panic there ends nothing else.
func (s *SlackActions) confined(ctx context.Context, event socketmode.Event) {
	ctx, cancel := context.WithTimeout(ctx, socketTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			s.presses.WithLabelValues("any", "failed").Inc()
			s.log.Error("panic at a press in Slack", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	switch data := event.Data.(type) {
	case slack.InteractionCallback:
		for _, a := range data.ActionCallback.BlockActions {
			s.press(ctx, data, a)
		}
	case slack.SlashCommand:
		s.command(ctx, data)
	}
}
