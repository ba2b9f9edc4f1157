package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/internal/plain"
)

func newSilence() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Mute series for a while",
		Long:  "Mutes a company, a topic or everything for a while. Muted alerts that are still on when the\nsilence ends are told then.",
		Example: `  barograph silence add -c barograph.yaml --entity BA --for 4h --comment "earnings day"
  barograph silence add -c barograph.yaml --topic "Stock Movement" --for 30m
  barograph silence list -c barograph.yaml
  barograph silence remove -c barograph.yaml k3v9q2mz7a`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSilenceAdd(), newSilenceList(), newSilenceRemove())
	return cmd
}

func newSilenceAdd() *cobra.Command {
	var (
		path string
		m    alert.Silence
		long time.Duration
	)
	cmd := &cobra.Command{
		Use:     "add",
		Short:   "Mute a company, a topic, or a company's topic",
		Example: `  barograph silence add -c barograph.yaml --entity BA --for 4h --comment "earnings day"`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if long <= 0 {
				return usageError{fmt.Errorf("--for %s: a silence needs an end, such as --for 4h", long)}
			}
			if m.Entity == "" && m.Topic == "" {
				return usageError{errors.New("name an --entity or a --topic; --entity '*' mutes everything")}
			}
			silences, closeRedis, err := openSilences(path)
			if err != nil {
				return err
			}
			defer closeRedis()
			m.Until = time.Now().Add(long)
			added, err := silences.Add(cmd.Context(), m)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s until %s\n", added.ID, added.Until.Local().Format(time.DateTime))
			return nil
		},
	}
	configFlags(cmd, &path)
	cmd.Flags().StringVar(&m.Entity, "entity", "", "company, as alerts name it; * for everything")
	cmd.Flags().StringVar(&m.Topic, "topic", "", "topic, as alerts name it")
	cmd.Flags().StringVar(&m.Comment, "comment", "", "why")
	cmd.Flags().StringVar(&m.Author, "author", login(), "who")
	cmd.Flags().DurationVar(&long, "for", 0, "how long, such as 90m or 4h")
	return cmd
}

func newSilenceList() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Show the silences in force",
		Example: "  barograph silence list -c barograph.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			silences, closeRedis, err := openSilences(path)
			if err != nil {
				return err
			}
			defer closeRedis()
			list, err := silences.List(cmd.Context())
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "ID\tENTITY\tTOPIC\tUNTIL\tAUTHOR\tCOMMENT")
			for _, m := range list {
				until, all := m.Until.Local().Format(time.DateTime), "*"
				if m.Alert != "" {
					until = "alert " + m.Alert + " is resolved"
				}
				if m.Exact { // a topic or everything itself, not what is in it
					all = "-"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, or(plain.Line(m.Entity, 60), all), or(plain.Line(m.Topic, 60), all),
					until, or(plain.Line(m.Author, 40), "-"), or(plain.Line(m.Comment, 200), "-"))
			}
			return table.Flush()
		},
	}
	configFlags(cmd, &path)
	return cmd
}

func newSilenceRemove() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "remove ID…",
		Short:   "End silences before their time",
		Example: "  barograph silence remove -c barograph.yaml k3v9q2mz7a",
		Args:    arguments(1, -1, "the IDs of silences"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			silences, closeRedis, err := openSilences(path)
			if err != nil {
				return err
			}
			defer closeRedis()
			for _, id := range ids {
				if err := silences.Remove(cmd.Context(), id); err != nil {
					return err
				}
			}
			return nil
		},
	}
	configFlags(cmd, &path)
	return cmd
}

func openSilences(path string) (*alert.Silences, func(), error) {
	cfg, err := readConfig(path)
	if err != nil {
		return nil, nil, err
	}
	client, err := openRedis(cfg.Redis)
	if err != nil {
		return nil, nil, err
	}
	return alert.NewSilences(client, cfg.Redis.Prefix, nil), func() { _ = client.Close() }, nil
}

func login() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
