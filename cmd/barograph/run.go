package main

import (
	"github.com/spf13/cobra"
)

func newRun() *cobra.Command {
	var (
		path   string
		stages []string
		listen string
		device string

		calibrate bool
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the monitor",
		Long: "Runs the monitor until it is told to stop (Ctrl-C, SIGTERM); it then finishes what is under way.\n" +
			"Several of them with one group share the work.",
		Example: `  barograph run -c barograph.yaml
  barograph run -c barograph.yaml --stages ingest,classify    # beside a GPU
  barograph run -c barograph.yaml --stages trend,alert --listen 127.0.0.1:8096`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(path)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("stages") {
				if _, err := parseStages(stages); err != nil {
					return usageError{err}
				}
				cfg.Stages = stages
			}
			if cmd.Flags().Changed("listen") {
				cfg.Console.Listen = listen
			}
			if cmd.Flags().Changed("device") {
				cfg.Classify.Device = device
			}
			if cmd.Flags().Changed("calibrate") {
				cfg.Classify.Calibrate = calibrate
			}
			m, err := newMonitor(cfg, parts{}, newLogger(cfg.Log))
			if err != nil {
				return err
			}
			return m.run(cmd.Context())
		},
	}
	configFlags(cmd, &path)
	cmd.Flags().StringSliceVar(&stages, "stages", nil, "run a part: ingest, classify, trend, alert")
	cmd.Flags().StringVar(&listen, "listen", "", "address of the console, /metrics, /healthz and /readyz")
	cmd.Flags().StringVar(&device, "device", "", "auto, cpu or cuda")
	cmd.Flags().BoolVar(&calibrate, "calibrate", false, "measure for some seconds at the first start what batches suit this machine, and keep it")
	return cmd
}
