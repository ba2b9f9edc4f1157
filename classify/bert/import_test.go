package bert

import (
	"path/filepath"
	"testing"

	"github.com/barograph/barograph/internal/testenv"
)

func TestMakeBases(t *testing.T) {
	deps := testenv.Deps(t)
	for _, name := range []string{"bge-small-en-v1.5", "bge-small-zh-v1.5", "all-minilm-l6-v2"} {
		export := filepath.Join(deps, "exports", name)
		if err := Import(export+".onnx", export+"-tokenizer.json", filepath.Join(deps, "bases", name), ImportOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
