package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/barograph/barograph/finetune"
)

// sweepable are the settings that --sweep can vary, by the names of their flags.
var sweepable = map[string]func(*finetune.Settings, string) error{
	"lr":            decimal(func(s *finetune.Settings) *float64 { return &s.Rate }),
	"alpha":         decimal(func(s *finetune.Settings) *float64 { return &s.Alpha }),
	"dropout":       decimal(func(s *finetune.Settings) *float64 { return &s.Dropout }),
	"lora-dropout":  decimal(func(s *finetune.Settings) *float64 { return &s.LoRADropout }),
	"warmup":        decimal(func(s *finetune.Settings) *float64 { return &s.Warmup }),
	"weight-decay":  decimal(func(s *finetune.Settings) *float64 { return &s.WeightDecay }),
	"class-weights": decimal(func(s *finetune.Settings) *float64 { return &s.ClassWeights }),
	"smoothing":     decimal(func(s *finetune.Settings) *float64 { return &s.Smoothing }),
	"average":       decimal(func(s *finetune.Settings) *float64 { return &s.Average }),
	"rank":          whole(func(s *finetune.Settings) *int { return &s.Rank }),
	"epochs":        whole(func(s *finetune.Settings) *int { return &s.Epochs }),
	"batch":         whole(func(s *finetune.Settings) *int { return &s.Batch }),
	"accumulate":    whole(func(s *finetune.Settings) *int { return &s.Accumulate }),
	"seed": func(s *finetune.Settings, v string) (err error) {
		s.Seed, err = strconv.ParseUint(v, 10, 64)
		return err
	},
	"decay": func(s *finetune.Settings, v string) error {
		s.Decay = finetune.Decay(v)
		return nil
	},
}

func decimal(field func(*finetune.Settings) *float64) func(*finetune.Settings, string) error {
	return func(s *finetune.Settings, v string) (err error) {
		*field(s), err = strconv.ParseFloat(v, 64)
		return err
	}
}

func whole(field func(*finetune.Settings) *int) func(*finetune.Settings, string) error {
	return func(s *finetune.Settings, v string) (err error) {
		*field(s), err = strconv.Atoi(v)
		return err
	}
}

// sweepExample is a value of a setting as it can be written.
func sweepExample(name string) string {
	switch name {
	case "lr":
		return "lr=1e-4,3e-4"
	case "rank", "epochs", "batch", "accumulate", "seed":
		return name + "=8,16"
	}
	return name + "=0.1,0.2"
}

// parseSweep reads "lr=1e-4,3e-4 rank=8,16" into every combination, the last setting
// varying fastest. Nothing gives nil.
func parseSweep(s finetune.Settings, sweep string) ([]finetune.Settings, error) {
	var all []finetune.Settings
	seen := map[string]bool{}
	for _, part := range strings.Fields(sweep) {
		name, values, ok := strings.Cut(part, "=")
		set := sweepable[name]
		if !ok || set == nil || seen[name] {
			return nil, fmt.Errorf("--sweep %q: write NAME=VALUE,VALUE with each of %s once", part,
				strings.Join(slices.Sorted(maps.Keys(sweepable)), ", "))
		}
		seen[name] = true
		if all == nil {
			all = []finetune.Settings{s}
		}
		var next []finetune.Settings
		for _, have := range all {
			for value := range strings.SplitSeq(values, ",") {
				one := have
				if err := set(&one, value); err != nil {
					return nil, fmt.Errorf("--sweep %s: %q is no value of %s: it wants numbers, such as %s", part, value, name, sweepExample(name))
				}
				next = append(next, one)
			}
		}
		all = next
	}
	return all, nil
}
