// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// markerVariable is in the environment of everything that a run starts; the value is the run's name.
const markerVariable = "SANDBOXES_RUN_EXEC"

// script returns the text that the runner executes in the command's own session: it puts inputs, standard input and code in
// place, sets environment and directory, and becomes the program. All that may be secret is in here, and it removes itself
// before the program starts. What is long stands, byte for byte, behind the last line that a shell reads.
func (p Program) script(name string) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	s := &scriptWriter{}
	// Below, the program's environment is set, in which any name may stand, and a PATH without a single program.
	s.line(`sandboxes_run_dir=${0%/*}
sandboxes_run_path=$PATH
refuse() {
	PATH=$sandboxes_run_path
	rm -f "$0" "$sandboxes_run_dir"/input "$sandboxes_run_dir"/code.*
	printf '%s\n%s\n' "$1" "$2" 1<>"$sandboxes_run_dir/refused.new" && mv "$sandboxes_run_dir/refused.new" "$sandboxes_run_dir/refused"
	exit 126
}`)
	for _, input := range p.Inputs {
		s.input(input)
	}
	if len(p.Stdin) > 0 {
		s.spoolFile("input", p.Stdin)
	}
	if p.Code != nil {
		s.spoolFile("code."+p.Code.Extension, []byte(p.Code.Source))
	}
	s.line(`rm -f "$0"`)
	if len(p.Stdin) > 0 {
		s.line(`exec <"$sandboxes_run_dir/input"
rm -f "$sandboxes_run_dir/input"`)
	}
	p.writeEnvironment(s, name)
	if p.WorkingDir != "" {
		s.linef("cd -- %s || refuse WorkingDirMissing %s", backends.Quote(p.WorkingDir),
			backends.Quote("cannot enter the working directory "+oneLine(p.WorkingDir)))
	}
	p.writeProgram(s)
	return s.finish(), nil
}

// Check finds what no shell can be told. Call it before anything is written down of the run.
func (p Program) Check() error {
	values := slices.Concat(p.Argv, slices.Collect(maps.Values(p.Env)), []string{p.WorkingDir})
	if p.Code != nil {
		values = append(values, p.Code.Arguments...)
	}
	for _, value := range values {
		if strings.ContainsRune(value, 0) {
			return errors.New("arguments and environment variables can't hold a NUL byte; give binary data on stdin or as an input")
		}
	}
	size := len(p.Stdin)
	for _, input := range p.Inputs {
		size += len(input.Content)
	}
	if size > maxInputs {
		return fmt.Errorf("inputs and stdin are %d bytes together, and may be %d; put what is larger into the image or template, or "+
			"have the command fetch it", size, maxInputs)
	}
	return nil
}

// maxInputs bounds inputs and standard input of one run together, in bytes: all of it passes through the operator's memory.
const maxInputs = 16 << 20

func (p Program) writeEnvironment(s *scriptWriter, name string) {
	for _, key := range slices.Sorted(maps.Keys(p.Env)) {
		// Some shells have variables that nobody may set. Without "command" they would end the script with code 2.
		s.linef("command export %s=%s || refuse Invalid %s", key, backends.Quote(p.Env[key]),
			backends.Quote("the sandbox's shell does not let the environment variable "+key+" be set"))
	}
	s.linef("export %s=%s\numask 022", markerVariable, backends.Quote(name))
}

func (p Program) writeProgram(s *scriptWriter) {
	if p.Code == nil {
		s.lookup(p.Argv[0])
		s.linef("exec%s", words(p.Argv))
		return
	}
	file := `"$sandboxes_run_dir/code.` + p.Code.Extension + `"`
	var programs []string
	for _, interpreter := range p.Code.Interpreters {
		program := interpreter.Argv[0]
		programs = append(programs, program)
		condition := "command -v " + backends.Quote(program) + " >/dev/null 2>&1"
		if len(interpreter.Check) > 0 {
			programs[len(programs)-1] = strings.Join(interpreter.Argv, " ")
			condition += " &&" + words(interpreter.Check) + " </dev/null >/dev/null 2>&1"
		}
		if interpreter.Builds {
			binary := `"$sandboxes_run_dir/code.run"`
			s.linef("if %s; then\n%s %s %s || exit\nexec %s%s\nfi", condition, strings.TrimSpace(words(interpreter.Argv)), binary, file,
				binary, words(p.Code.Arguments))
			continue
		}
		s.linef("if %s; then exec%s %s%s; fi", condition, words(interpreter.Argv), file, words(p.Code.Arguments))
	}
	s.linef("refuse InterpreterMissing %s", backends.Quote(fmt.Sprintf(
		"the sandbox has none of the programs that run this code (looked for %s on its PATH)", strings.Join(programs, ", "))))
}

// words are arguments as a shell reads them, each after a space.
func words(argv []string) string {
	var b strings.Builder
	for _, word := range argv {
		b.WriteByte(' ')
		b.WriteString(backends.Quote(word))
	}
	return b.String()
}

// scriptWriter collects the lines of a script and the long content behind them. Content that comes later stands before what
// came earlier, so that the place of each, counted from the end, is known when it is added.
type scriptWriter struct {
	lines bytes.Buffer
	long  []byte
}

func (s *scriptWriter) line(text string) {
	s.lines.WriteString(text + "\n")
}

func (s *scriptWriter) linef(format string, args ...any) {
	fmt.Fprintf(&s.lines, format+"\n", args...)
}

// finish returns the whole.
func (s *scriptWriter) finish() []byte {
	// Where exec fails, some shells go on.
	s.line("exit 126")
	return append(s.lines.Bytes(), s.long...)
}

// lookup appends what says, as a shell does but without the path of the script, that a program does not exist.
func (s *scriptWriter) lookup(program string) {
	exists := "command -v " + backends.Quote(program) + " >/dev/null 2>&1"
	if strings.Contains(program, "/") {
		exists = "[ -e " + backends.Quote(program) + " ]"
	}
	s.linef("%s || { printf 'sh: %%s: not found\\n' %s >&2; exit 127; }", exists, backends.Quote(program))
}

// input appends commands that put a file into the sandbox: at once, so that nobody reads half of it, and with nobody else's
// eyes on it before its mode is set. A link in its place is replaced.
func (s *scriptWriter) input(input Input) {
	file, dir := backends.Quote(input.Path), backends.Quote(path.Dir(input.Path))
	fresh := backends.Quote(path.Join(path.Dir(input.Path), ".sandboxes.run.input"))
	refuse := "refuse InputFailed " + backends.Quote("cannot write the input "+oneLine(input.Path)+": ")
	s.linef("umask 022\n[ -d %[1]s ] || mkdir -p -- %[1]s 2>/dev/null || %[2]s'its directory can not be made'\numask 077", dir, refuse)
	s.linef("[ ! -d %s ] || %s'a directory is there'", file, refuse)
	s.content(fresh, input.Content, refuse+"'no permission, no space, or a read-only directory'")
	s.linef("chmod %o %[2]s && mv -f -- %[2]s %[3]s || { rm -f -- %[2]s; %[4]s'it can not be replaced'; }",
		input.Mode.Perm(), fresh, file, refuse)
}

// spoolFile appends commands that make a file beside the script.
func (s *scriptWriter) spoolFile(name string, content []byte) {
	s.content(`"$sandboxes_run_dir/`+name+`"`, content, "refuse SpoolUnavailable 'the disk of the sandbox is full'")
}

// shortContent is what is written by the shell itself, in bytes: to start two programs takes longer than to read its escapes.
const shortContent = 16 << 10

// content appends commands that write content, byte for byte, into a file, which is given as a shell reads it.
func (s *scriptWriter) content(file string, content []byte, otherwise string) {
	if len(content) > shortContent {
		s.long = append(bytes.Clone(content), s.long...)
		s.linef(`{ tail -c %d "$0" | head -c %d >%s; } 2>/dev/null && [ "$(wc -c <%[3]s)" -eq %[2]d ] || %[4]s`,
			len(s.long), len(content), file, otherwise)
		return
	}
	// printf is the one tool that every shell has within, and that writes any byte.
	const chunk = 4096
	s.lines.WriteString("{ { :")
	for part := range slices.Chunk(content, chunk) {
		s.lines.WriteString(" &&\nprintf '")
		for i, c := range part {
			if i == 0 && c == '-' {
				// To some shells the format would be an option.
				s.lines.WriteString(`\055`)
				continue
			}
			writeFormat(&s.lines, c)
		}
		s.lines.WriteByte('\'')
	}
	s.linef("\n} >%s; } 2>/dev/null || %s", file, otherwise)
}

// writeFormat appends one byte as it stands in the single-quoted format of printf.
func writeFormat(b *bytes.Buffer, c byte) {
	switch {
	case c == '%':
		b.WriteString("%%")
	case c == '\\':
		b.WriteString(`\\`)
	case c == '\n', c >= ' ' && c < 0x7f && c != '\'':
		b.WriteByte(c)
	default:
		fmt.Fprintf(b, `\%03o`, c)
	}
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
