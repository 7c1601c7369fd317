// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// entry is a file as ls shows it.
type entry struct {
	Name string `json:"name"`
	// Type is File, Directory, Link or Other.
	Type string `json:"type"`
	// The rest is there with -l only.
	Mode     string     `json:"mode,omitempty"`
	Bytes    *int64     `json:"bytes,omitempty"`
	Modified *time.Time `json:"modified,omitempty"`
	User     string     `json:"user,omitempty"`
	Group    string     `json:"group,omitempty"`
	// Target is where a link leads.
	Target string `json:"target,omitempty"`
	mode   fs.FileMode
}

// listing is one call of ls.
type listing struct {
	*cli.Factory
	long, all bool
	output    string
}

func listCommand(f *cli.Factory) *cobra.Command {
	l := &listing{Factory: f}
	command := &cobra.Command{
		Use:   "ls SANDBOX[:PATH]",
		Short: "List files of a sandbox",
		Long:  "List what is in a directory of a sandbox; without PATH, in its working directory.",
		Example: "  kubectl sandbox ls box\n" +
			"  kubectl sandbox ls -l box:/workspace/out",
		Args: exactly(1, "ls SANDBOX[:PATH]"),
		RunE: func(command *cobra.Command, arguments []string) error {
			if l.output != "" && l.output != "json" {
				return cli.Fail("it is json", "-o %s is no format", l.output)
			}
			ctx, stop := cli.UntilInterrupted(command.Context())
			defer stop()
			return cancelled(ctx, l.run(ctx, arguments[0]), "nothing was listed")
		},
	}
	command.Flags().BoolVarP(&l.long, "long", "l", false, "Show mode, owner, size and time, too.")
	command.Flags().BoolVarP(&l.all, "all", "a", false, "Show names that begin with a dot, too.")
	command.Flags().StringVarP(&l.output, "output", "o", "", "Print json instead of text for people.")
	return command
}

func (l *listing) run(ctx context.Context, argument string) error {
	p, err := remote(argument, true)
	if err != nil {
		return err
	}
	e, err := newErrands(ctx, l.Factory, p.sandbox)
	if err != nil {
		return err
	}
	said, err := e.do(ctx, errand{script: "list.sh", arguments: []string{escaped(p.path), yes(l.long)}})
	if err != nil {
		return err
	}
	entries, err := parseEntries(said.out)
	if err != nil {
		return err
	}
	if !l.all {
		entries = slices.DeleteFunc(entries, func(e entry) bool {
			return strings.HasPrefix(e.Name, ".") && !strings.Contains(e.Name, "/")
		})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	if l.output == "json" {
		encoder := json.NewEncoder(l.Out)
		encoder.SetIndent("", "  ")
		return printing(encoder.Encode(entries))
	}
	return printing(l.print(entries))
}

// shown is a name as it is; on a terminal, in quotes where something in it would not be seen, or steer the terminal.
func (l *listing) shown(name string) string {
	if cli.IsTerminal(l.Out) && (!utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })) {
		return strconv.Quote(name)
	}
	return name
}

func (l *listing) print(entries []entry) error {
	painter := cli.PainterFor(l.Out)
	var text bytes.Buffer
	columns := cli.Columns(&text)
	for i := range entries {
		e := &entries[i]
		if l.long {
			modified := e.Modified.Format("2006-01-02 15:04  ")
			fmt.Fprintf(columns, "%s\t%s\t%s\t%d\t%s\n", modeLine(e.mode), e.User, e.Group, *e.Bytes, modified)
		}
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	// Names come behind the columns, for they may hold tabs and colours.
	lines := strings.Split(text.String(), "\n")
	for i := range entries {
		e := &entries[i]
		name := l.shown(e.Name)
		if e.Type == "Directory" {
			name = painter.Paint(cli.Bold, name)
		}
		if e.Target != "" {
			name += " -> " + l.shown(e.Target)
		}
		if l.long {
			name = lines[i] + name
		}
		if _, err := fmt.Fprintln(l.Out, name); err != nil {
			return err
		}
	}
	return nil
}

// letters are the letters of list.sh.
var letters = map[byte]string{'f': "File", 'd': "Directory", 'l': "Link", 'o': "Other"}

// parseEntries reads what list.sh prints.
func parseEntries(said []byte) ([]entry, error) {
	entries := []entry{}
	var links []int
	for len(said) > 0 {
		record, rest, ended := bytes.Cut(said, []byte{0})
		said = rest
		if !ended {
			return nil, garbled()
		}
		if len(record) == 0 {
			return entries, parseDetails(entries, links, said)
		}
		kind, ok := letters[record[0]]
		if !ok || len(record) == 1 {
			return nil, garbled()
		}
		if kind == "Link" {
			links = append(links, len(entries))
		}
		entries = append(entries, entry{Name: strings.TrimPrefix(string(record[1:]), "./"), Type: kind})
	}
	return entries, nil
}

// parseDetails reads what comes with -l: a line each, and then where links lead.
func parseDetails(entries []entry, links []int, said []byte) error {
	lines, targets, ended := bytes.Cut(said, []byte{0})
	described := strings.Fields(string(lines))
	const words = 5
	destinations := bytes.Split(bytes.TrimSuffix(targets, []byte{0}), []byte{0})
	if !ended || len(described) != words*len(entries) || len(links) > 0 && len(links) != len(destinations) {
		return garbled()
	}
	for i := range entries {
		if err := entries[i].describe(described[words*i : words*(i+1)]); err != nil {
			return err
		}
	}
	for n, i := range links {
		entries[i].Target = string(destinations[n])
	}
	return nil
}

// describe takes in mode in hexadecimal, size, seconds since 1970, user and group.
func (e *entry) describe(words []string) error {
	mode, modeErr := strconv.ParseUint(words[0], 16, 32)
	size, sizeErr := strconv.ParseInt(words[1], 10, 64)
	seconds, timeErr := strconv.ParseInt(words[2], 10, 64)
	if modeErr != nil || sizeErr != nil || timeErr != nil {
		return garbled()
	}
	e.mode = fileMode(uint32(mode))
	e.Mode, e.Bytes, e.Modified = fmt.Sprintf("%04o", mode&0o7777), &size, new(time.Unix(seconds, 0).UTC())
	e.User, e.Group = cli.Visible(words[3]), cli.Visible(words[4])
	return nil
}

// fileMode is a mode as stat(2) has it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & 0xf000 {
	case 0x4000:
		m |= fs.ModeDir
	case 0xa000:
		m |= fs.ModeSymlink
	case 0x1000:
		m |= fs.ModeNamedPipe
	case 0xc000:
		m |= fs.ModeSocket
	case 0x2000:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case 0x6000:
		m |= fs.ModeDevice
	}
	for bit, is := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= is
		}
	}
	return m
}

// modeLine is a mode as ls(1) shows it.
func modeLine(mode fs.FileMode) string {
	letter := "-"
	for is, its := range map[fs.FileMode]string{
		fs.ModeDir: "d", fs.ModeSymlink: "l", fs.ModeNamedPipe: "p", fs.ModeSocket: "s", fs.ModeDevice: "b",
		fs.ModeDevice | fs.ModeCharDevice: "c",
	} {
		if mode.Type() == is {
			letter = its
		}
	}
	return letter + mode.Perm().String()[1:]
}

func garbled() error {
	return &cli.Failure{Problem: "the directory changed while it was listed", Next: "try again", Code: CodeFailed}
}
