package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// originFile is in a folder that was pulled.
const originFile = "pulled.json"

// Origin is where a folder was pulled from.
type Origin struct {
	Endpoint string `json:"endpoint"`
	Repo     string `json:"repo"`     // ORG/NAME
	Revision string `json:"revision"` // as it was asked for
	Commit   string `json:"commit"`   // that the revision was then
}

// Origin names a snapshot of this endpoint.
func (c *Client) Origin(s *Snapshot) Origin {
	return Origin{Endpoint: c.config.Endpoint, Repo: s.Repo, Revision: s.Revision, Commit: s.Commit}
}

// Write keeps it in a folder, for ReadOrigin.
func (o Origin) Write(dir string) error {
	raw, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, originFile), append(raw, '\n'), 0o644)
}

// ReadOrigin says where a folder was pulled from; the zero Origin where it was not.
func ReadOrigin(dir string) (o Origin, err error) {
	path := filepath.Join(dir, originFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &o)
	}
	if err != nil {
		err = fmt.Errorf("reading %s: %w", path, err)
	}
	return o, err
}
