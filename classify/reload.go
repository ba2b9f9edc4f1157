package classify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// retryLoad is when a bundle that did not load is tried again though its files are the
// same: what was wrong may have been its base, or the memory.
const retryLoad = 5 * time.Minute

// watched is what is known of a lane's folder.
type watched struct {
	lane   *lane
	known  string    // the fingerprint of what serves, or failed to load
	found  string    // another that was seen last time: files may still be coming
	retry  time.Time // of one that failed; zero: it loaded
	logged bool      // its failure
}

// reload looks at the bundles' folders until the stage closes.
func (s *Stage) reload(seen []string) {
	all := make([]*watched, len(s.lanes))
	for i, l := range s.lanes {
		all[i] = &watched{lane: l, known: seen[i], found: seen[i]}
	}
	ticker := time.NewTicker(s.config.Reload)
	defer ticker.Stop()
	for {
		select {
		case <-s.ended:
			return
		case now := <-ticker.C:
			for _, w := range all {
				if w.due(now) {
					s.load(w)
				}
			}
		}
	}
}

// due looks at the folder and says whether there is something to load: files that are not
// those known and have not changed since the last look.
func (w *watched) due(now time.Time) bool {
	look, err := fingerprint(w.lane.dir)
	if err != nil {
		look = "unreadable: " + err.Error()
	}
	same := look == w.found
	w.found = look
	switch {
	case !same:
		return false
	case look != w.known:
		w.logged = false
		return true
	}
	return !w.retry.IsZero() && now.After(w.retry)
}

// load opens the bundle that was found, beside the one that serves, and puts it live. Where
// it does not open, nothing changes.
func (s *Stage) load(w *watched) {
	w.known, w.retry = w.found, time.Time{}
	log, serving := s.config.Model.Log.With("bundle", w.lane.dir), w.lane.live.Model
	old := serving.Bundle
	m, err := s.open(w.lane.dir, serving)
	if errors.Is(err, ErrAlreadyLive) { // touched, or promoted and rolled back
		return
	}
	if err != nil {
		s.metrics.failures.WithLabelValues(w.lane.dir).Inc()
		if !w.logged {
			log.Error("a new bundle does not load; the old one serves on", "serving", old.Digest, "error", err)
		}
		w.logged, w.retry = true, time.Now().Add(retryLoad)
		return
	}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		m.Close()
		return
	}
	s.serve(w.lane, m)
	log.Info("a new bundle serves", "model", m.Bundle.Name, "version", m.Bundle.Version, "digest", m.Bundle.Digest, "before", old.Digest)
}

// open opens and warms a bundle that is another than the one that serves. What a damaged
// file makes panic is an error. Where the stage calibrates, the new one takes over the setting:
// a measurement beside a busy model would be worth nothing. The next start measures.
func (s *Stage) open(dir string, serving *Model) (m *Model, err error) {
	defer catch(&err, s.config.Model.Log, "loading "+dir)
	b, err := OpenBundle(dir, s.config.Model.Bases)
	if err != nil {
		return nil, err
	}
	if b.Digest == serving.Bundle.Digest {
		return nil, ErrAlreadyLive
	}
	c := s.config.Model
	if c.Calibrate {
		c.Calibrate, c.BatchThreads, c.TokenBudget = false, serving.config.BatchThreads, serving.config.TokenBudget
	}
	if m, err = openServing(dir, c); err == nil {
		m.maxWait = serving.maxWait
	}
	return m, err
}

// fingerprint changes when the bundle that is live in dir's place does: its folder, or Look.
func fingerprint(dir string) (string, error) {
	live, err := Live(dir)
	if err != nil {
		return "", err
	}
	look, err := Look(live)
	return live + look, err
}

// Look is the names, sizes and times of the files that the digest of a bundle's own folder
// covers: it changes when they do, and reads none of them.
func Look(folder string) (string, error) {
	names, err := filesThatCount(folder)
	if err != nil {
		return "", err
	}
	var look strings.Builder
	for _, name := range names {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&look, "\n%s %d %d", name, info.Size(), info.ModTime().UnixNano())
	}
	return look.String(), nil
}
