package lodge_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lodge/cloud"
)

// section is what stands below a heading of docs/operations.md.
func section(t *testing.T, heading string) string {
	t.Helper()
	b, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, there := strings.Cut(string(b), "\n"+heading+"\n")
	if !there {
		t.Fatalf("docs/operations.md has no %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

func TestEveryProblemHasARunbook(t *testing.T) {
	first := ""
	for _, line := range strings.Split(section(t, "## Runbook"), "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 4 {
			first += cells[1]
		}
	}
	for _, code := range cloud.ProblemCodes() {
		if !strings.Contains(first, "`"+string(code)+"`") {
			t.Errorf("the problem %s has no line in the runbook", code)
		}
	}
}

// A code that is given to an object and is no problem's code would have no line in
// the runbook, and nobody would see it.
func TestEveryCodeThatIsGivenToAProblemIsAProblemsCode(t *testing.T) {
	errs, err := os.ReadFile("cloud/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(Code\w+)\s+Code = "(\w+)"`).FindAllStringSubmatch(string(errs), -1) {
		codes[m[1]] = m[2]
	}
	given := regexp.MustCompile(`cloud\.Problem\{Code: cloud\.(Code\w+)`)
	found := 0
	err = filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range given.FindAllStringSubmatch(string(b), -1) {
			found++
			if !slices.Contains(cloud.ProblemCodes(), cloud.Code(codes[m[1]])) {
				t.Errorf("%s gives %s to a problem, and cloud.ProblemCodes does not have it", path, m[1])
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("%d places give a code to a problem, %v", found, err)
	}
}

// A table that names tests that are not there shows nothing.
func TestWhatSurvivesIsShownByTestsThatAreThere(t *testing.T) {
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(b), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := section(t, "### What survives what")
	names := regexp.MustCompile(`Test\w+`).FindAllString(text, -1)
	if len(names) < 15 {
		t.Errorf("%d tests are named", len(names))
	}
	for _, n := range names {
		if !there[n] {
			t.Errorf("there is no %s", n)
		}
	}
}
