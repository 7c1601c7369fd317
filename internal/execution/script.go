// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// markerVariable is in the environment of everything that a run starts; the value is the run's name.
const markerVariable = "SANDBOXES_RUN_EXEC"

// script returns the text that the runner executes in the command's own session: it puts standard input and code in place,
// sets environment and directory, and becomes the program. All that may be secret is in here, and it removes itself first.
func (p Program) script(name string) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	// Below, the program's environment is set, in which any name may stand, and a PATH without a single program.
	b.WriteString(`rm -f "$0"
sandboxes_run_dir=${0%/*}
sandboxes_run_path=$PATH
refuse() {
	PATH=$sandboxes_run_path
	rm -f "$sandboxes_run_dir"/input "$sandboxes_run_dir"/code.*
	printf '%s\n%s\n' "$1" "$2" 1<>"$sandboxes_run_dir/refused.new" && mv "$sandboxes_run_dir/refused.new" "$sandboxes_run_dir/refused"
	exit 126
}
`)
	if len(p.Stdin) > 0 {
		writeFile(&b, "input", p.Stdin)
		b.WriteString("exec <\"$sandboxes_run_dir/input\"\nrm -f \"$sandboxes_run_dir/input\"\n")
	}
	if p.Code != nil {
		writeFile(&b, "code."+p.Code.Extension, []byte(p.Code.Source))
	}
	p.writeEnvironment(&b, name)
	if p.WorkingDir != "" {
		fmt.Fprintf(&b, "cd -- %s || refuse WorkingDirMissing %s\n", backends.Quote(p.WorkingDir),
			backends.Quote("cannot enter the working directory "+oneLine(p.WorkingDir)))
	}
	p.writeProgram(&b)
	return b.Bytes(), nil
}

// Check finds what no shell can be told. Call it before anything is written down of the run.
func (p Program) Check() error {
	values := slices.Concat(p.Argv, slices.Collect(maps.Values(p.Env)), []string{p.WorkingDir})
	for _, value := range values {
		if strings.ContainsRune(value, 0) {
			return errors.New("arguments and environment variables can't hold a NUL byte; give binary data on stdin")
		}
	}
	return nil
}

func (p Program) writeEnvironment(b *bytes.Buffer, name string) {
	for _, key := range slices.Sorted(maps.Keys(p.Env)) {
		// Some shells have variables that nobody may set. Without "command" they would end the script with code 2.
		fmt.Fprintf(b, "command export %s=%s || refuse Invalid %s\n", key, backends.Quote(p.Env[key]),
			backends.Quote("the sandbox's shell does not let the environment variable "+key+" be set"))
	}
	fmt.Fprintf(b, "export %s=%s\numask 022\n", markerVariable, backends.Quote(name))
}

func (p Program) writeProgram(b *bytes.Buffer) {
	if p.Code == nil {
		writeLookup(b, p.Argv[0])
		b.WriteString("exec")
		for _, word := range p.Argv {
			b.WriteByte(' ')
			b.WriteString(backends.Quote(word))
		}
		b.WriteByte('\n')
		return
	}
	for _, interpreter := range p.Code.Interpreters {
		fmt.Fprintf(b, "command -v %[1]s >/dev/null 2>&1 && exec %[1]s \"$sandboxes_run_dir/code.%[2]s\"\n", interpreter, p.Code.Extension)
	}
	fmt.Fprintf(b, "refuse InterpreterMissing %s\n", backends.Quote(fmt.Sprintf(
		"the sandbox has none of the programs that run this language (looked for %s on its PATH)",
		strings.Join(p.Code.Interpreters, ", "))))
}

// writeLookup appends what says, as a shell does but without the path of the script, that a program does not exist.
func writeLookup(b *bytes.Buffer, program string) {
	exists := "command -v " + backends.Quote(program) + " >/dev/null 2>&1"
	if strings.Contains(program, "/") {
		exists = "[ -e " + backends.Quote(program) + " ]"
	}
	fmt.Fprintf(b, "%s || { printf 'sh: %%s: not found\\n' %s >&2; exit 127; }\n", exists, backends.Quote(program))
}

// writeFile appends commands that write content, byte for byte, into a file of the spool. printf is the one tool that every
// shell has within, and that writes any byte.
func writeFile(b *bytes.Buffer, name string, content []byte) {
	const chunk = 4096
	b.WriteString("{ :")
	for part := range slices.Chunk(content, chunk) {
		b.WriteString(" &&\nprintf '")
		for _, c := range part {
			writeFormat(b, c)
		}
		b.WriteByte('\'')
	}
	fmt.Fprintf(b, "\n} >\"$sandboxes_run_dir/%s\" || refuse SpoolUnavailable 'the disk of the sandbox is full'\n", name)
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
