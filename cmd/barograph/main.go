// Command barograph watches a stream of financial texts for negative spikes.
//
// This is the only place where the stages meet:
//
//	Kafka ──► ingest ──► classify ──┬──► trend ──► alert ──► Slack, webhook, Kafka
//	news,     items      readings   │    Redis     Redis's outbox
//	comments                        └──► Kafka: readings
//
// One file holds one subcommand; config.go says what can be configured and monitor.go
// puts the stages together.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the linker; `make build` gives it the commit.
var version = "unknown"

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	redis.SetLogger(quiet{}) // what fails is returned, tried again and logged by the stages
	// A second signal ends the process at once: the first lets it drain.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "barograph:", err)
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

// quiet drops what go-redis would write to standard error on its own.
type quiet struct{}

// Printf implements go-redis' logger.
func (quiet) Printf(context.Context, string, ...any) {}

// usageError is a command line that cannot be understood, as opposed to a command that failed.
type usageError struct{ error }

// Unwrap gives what is wrong with the command line.
func (u usageError) Unwrap() error { return u.error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "barograph",
		Short:         "Barograph records the pressure of the market's mood and says when it drops",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s -h", wanted(err), cmd.CommandPath())}
	})
	root.AddCommand(
		newDemo(), newRun(), newFeed(), newClassify(), newFinetune(), newEvaluate(), newModel(), newReplay(), newSilence(), newDoctor(), newBench(),
	)
	return root
}

// valuesOf says what the flags of a type take, where the library's error speaks of Go's functions.
var valuesOf = map[string]string{
	"int": "a whole number", "uint64": "a whole number from 0", "int64": "a whole number", "float64": "a number",
	"float64Slice": "numbers with commas between them", "duration": "a time such as 90s or 24h", "bool": "true or false",
}

// wanted is err, in the user's words where a flag's value is of the wrong type.
func wanted(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	want, known := valuesOf[invalid.GetFlag().Value.Type()]
	if !known {
		return err
	}
	return fmt.Errorf("--%s %q: want %s", invalid.GetFlag().Name, invalid.GetValue(), want)
}

// arguments refuses a wrong number of arguments as wrong usage.
func arguments(min, max int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < min || (max >= 0 && len(args) > max) {
			return usageError{fmt.Errorf("%s takes %s, not %d arguments; see %s -h", cmd.CommandPath(), what, len(args), cmd.CommandPath())}
		}
		return nil
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %q; see %s -h", args[0], cmd.CommandPath())}
	}
	return nil
}
