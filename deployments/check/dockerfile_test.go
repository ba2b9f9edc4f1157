package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// TestDockerfile runs the image's steps as a script: what the build stage runs, in a clean
// folder with what git has; then what the last stage copies, into a folder that stands for
// the image's root; then the program there. Steps that install tools are left out: they are
// on this machine.
func TestDockerfile(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds everything")
	}
	stages := stagesOf(t)
	source, root := t.TempDir(), t.TempDir()
	checkOut(t, source)
	for _, command := range stage(t, stages, "build").Commands {
		run, ok := command.(*instructions.RunCommand)
		if !ok {
			continue
		}
		if line := strings.Join(run.CmdLine, " "); !strings.Contains(line, "apt-get") {
			shell(t, source, line)
		}
	}
	last := stages[len(stages)-1]
	if last.Name != "cpu" {
		t.Errorf("the last stage, built by default, is %s", last.Name)
	}
	for _, command := range last.Commands {
		if c, ok := command.(*instructions.CopyCommand); ok {
			copyTree(t, filepath.Join(source, strings.TrimPrefix(c.SourcePaths[0], "/src")), filepath.Join(root, c.DestPath))
		}
	}
	program := exec.Command(filepath.Join(root, "opt/barograph/bin/barograph"), "classify")
	program.Dir, program.Env = filepath.Join(root, "opt/barograph"), []string{"HOME=/nowhere"}
	program.Stdin = strings.NewReader(`{"text": "Boeing shares plunge after crash"}` + "\n" + `{"text": "公司净利润大幅下滑"}` + "\n")
	var stderr strings.Builder
	program.Stderr = &stderr
	out, err := program.Output()
	if err != nil || strings.Count(string(out), `"sentiment"`) != 2 {
		t.Errorf("the program in the image's root: %v\n%s%s", err, out, stderr.String())
	}
}

// TestStagesOfTheImage holds the two images against each other: what one gets, the other does.
func TestStagesOfTheImage(t *testing.T) {
	stages := stagesOf(t)
	steps := func(name string) (out []string) {
		for _, command := range stage(t, stages, name).Commands {
			switch c := command.(type) {
			case *instructions.CopyCommand:
				out = append(out, c.DestPath+" owned by "+c.Chown)
			case *instructions.UserCommand:
				if c.User == "" || strings.HasPrefix(c.User, "0") || strings.HasPrefix(c.User, "root") {
					t.Errorf("%s runs as %q", name, c.User)
				}
				out = append(out, c.String())
			default:
				out = append(out, command.(interface{ String() string }).String())
			}
		}
		return out
	}
	if cpu, cuda := steps("cpu"), steps("cuda"); !slices.Equal(cpu, cuda) {
		t.Errorf("the images differ in more than their base and runtime:\n%q\n%q", cpu, cuda)
	}
}

func stagesOf(t *testing.T) []instructions.Stage {
	t.Helper()
	file, err := os.Open("../docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

func stage(t *testing.T, stages []instructions.Stage, name string) instructions.Stage {
	t.Helper()
	for _, s := range stages {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("the Dockerfile has no stage %s", name)
	return instructions.Stage{}
}

// checkOut copies what git knows of: what a build context without ignored files holds.
func checkOut(t *testing.T, to string) {
	t.Helper()
	shell(t, "../..", "git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference -t "+to)
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	shell(t, ".", "cp -r "+from+" "+to)
}

func shell(t *testing.T, dir, line string) {
	t.Helper()
	command := exec.Command("sh", "-ec", line)
	command.Dir = dir
	command.Env = append(os.Environ(), "VERSION=test")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}
