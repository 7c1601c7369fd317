// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"regexp"
	"strings"
)

// Entry is a command of a console block, and what the page says that it prints.
type Entry struct {
	// Command is what stands after "$ ", with the lines that it goes on in.
	Command string
	// Output is without empty lines at its end.
	Output string
}

const prompt = "$ "

// Entries are the commands of a console block.
func (b Block) Entries() []Entry {
	var entries []Entry
	goesOn := false
	for line := range strings.SplitSeq(b.Text, "\n") {
		last := len(entries) - 1
		switch command, typed := strings.CutPrefix(line, prompt); {
		case goesOn:
			entries[last].Command += "\n" + line
		case typed:
			entries = append(entries, Entry{Command: command})
		case last >= 0:
			entries[last].Output += line + "\n"
		}
		goesOn = (goesOn || strings.HasPrefix(line, prompt)) && strings.HasSuffix(line, `\`)
	}
	for i := range entries {
		entries[i].Output = strings.TrimRight(entries[i].Output, "\n")
	}
	return entries
}

// Console writes entries as the text of a console block.
func Console(entries []Entry) string {
	var written []string
	for _, entry := range entries {
		text := prompt + entry.Command
		if entry.Output != "" {
			text += "\n" + entry.Output
		}
		written = append(written, text)
	}
	var out strings.Builder
	for i, text := range written {
		// Commands that print nothing stand together.
		if i > 0 {
			out.WriteString("\n")
			if entries[i-1].Output != "" {
				out.WriteString("\n")
			}
		}
		out.WriteString(text)
	}
	return out.String()
}

// What differs each time that a command is run.
var passing = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<UID>"},
	{regexp.MustCompile(`-[0-9a-f]{10}\b`), "-<HASH>"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<TIME>"},
	{regexp.MustCompile(`\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d+ \d\d:\d\d\b`), "<DATE>"},
	{regexp.MustCompile(`\b(room-[a-z0-9]{5}|default)\b`), "<NAMESPACE>"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "<ADDRESS>"},
	{regexp.MustCompile(`\b(check|run|job|case)-[a-z0-9]{5}\b`), "<GENERATED>"},
}

var (
	header = regexp.MustCompile(`^[A-Z]+( +[A-Z][-A-Z ]*)*$`)
	column = regexp.MustCompile(`[A-Z][-A-Z]*( [A-Z]+)*`)
	digits = regexp.MustCompile(`^\d+$`)
)

// Lasting is what stays the same in an output, however often the command is run: IDs, times, ages and the width of columns are
// taken out.
func Lasting(output string) string {
	var (
		kept    []string
		columns [][]int
		names   []string
	)
	for line := range strings.SplitSeq(strings.TrimRight(output, "\n"), "\n") {
		switch {
		case header.MatchString(line) && strings.Contains(line, "  "):
			columns, names = column.FindAllStringIndex(line, -1), column.FindAllString(line, -1)
			kept = append(kept, strings.Join(names, " | "))
			continue
		case line == "":
			columns = nil
		case columns != nil:
			kept = append(kept, strings.Join(cells(line, columns, names), " | "))
			continue
		}
		kept = append(kept, withoutPassing(strings.TrimRight(line, " ")))
	}
	return strings.Join(kept, "\n")
}

// cells are those of a line of a table, without what passes.
func cells(line string, columns [][]int, names []string) []string {
	found := make([]string, len(columns))
	runes := []rune(line)
	for i, at := range columns {
		from, to := min(at[0], len(runes)), len(runes)
		if i+1 < len(columns) {
			to = min(columns[i+1][0], len(runes))
		}
		cell := strings.TrimSpace(string(runes[from:to]))
		switch {
		case names[i] == "AGE":
			cell = "<AGE>"
		case names[i] == "SANDBOXES" || names[i] == "ORPHANS":
			cell = "<COUNT>" // of all pages that are followed at once
		case names[i] == "MILLIS" && digits.MatchString(cell):
			cell = "<MILLIS>"
		}
		found[i] = withoutPassing(cell)
	}
	return found
}

func withoutPassing(text string) string {
	for _, p := range passing {
		text = p.pattern.ReplaceAllString(text, p.instead)
	}
	return text
}
