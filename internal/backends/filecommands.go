// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The file operations for backends without native ones: one RunCommand each, of a POSIX shell with the tools that
// coreutils and BusyBox share. Paths travel as arguments and content on standard streams, so no byte of either needs
// quoting. The scripts tell by exit code what they found; what a tool complains about is told by the end of its last
// line, which LC_ALL=C makes the C library's own words.

// Exit codes of the scripts, out of the way of those that shells and tools use.
const (
	exitNotExist   = 80
	exitPermission = 81
	exitExist      = 82
	exitIsDir      = 83
	exitNotDir     = 84
	exitIrregular  = 85
	exitIncomplete = 86
	exitNoCommand  = 127
)

// scriptPrelude defines `absent PATH`, which ends a script for which PATH is not there: an ancestor that may not be searched
// hides what is below it, and that is not the same as absence.
const scriptPrelude = `LC_ALL=C; export LC_ALL
absent() {
	dir=$1
	while [ "$dir" != / ]; do
		dir=${dir%/*}; dir=${dir:-/}
		if [ -d "$dir" ]; then [ -x "$dir" ] || exit 81; exit 80; fi
	done
	exit 80
}
here() { [ -e "$1" ] || [ -L "$1" ]; }
`

// ReadFileByCommand is [ReadFile] through RunCommand.
func ReadFileByCommand(ctx context.Context, b Backend, id, path string, limit int64) ([]byte, error) {
	const operation = "read file"
	if limit <= 0 {
		limit = DefaultOutputLimit
	}
	// One byte more than allowed tells a file that is too large from one that just fits. A FIFO is refused: opening it
	// would block for ever.
	result, err := runScript(ctx, b, id, operation, `
		[ -e "$1" ] || absent "$1"
		[ ! -d "$1" ] || exit 83
		[ -f "$1" ] || exit 85
		[ -r "$1" ] || exit 81
		exec head -c "$2" < "$1"`,
		scriptRun{arguments: []string{path, strconv.FormatInt(limit+1, 10)}, outputLimit: limit + 1})
	if err != nil {
		return nil, err
	}
	if err := scriptError(operation, path, result); err != nil {
		return nil, err
	}
	if int64(len(result.Stdout)) > limit || result.StdoutTruncated {
		return nil, pathError(operation, path, ErrTooLarge)
	}
	return result.Stdout, nil
}

// WriteFileByCommand is [WriteFile] through RunCommand.
func WriteFileByCommand(
	ctx context.Context, b Backend, id, name string, content []byte, mode fs.FileMode,
) error {
	const operation = "write file"
	if name == "/" {
		return pathError(operation, name, fs.ErrExist)
	}
	dir := path.Dir(name)
	temporary := path.Join(dir, ".sandboxes.run-"+rand.Text())
	// The size is compared before the move: a stream that was cut on its way here looks like an end of file.
	result, err := runScript(ctx, b, id, operation, `
		fail() { code=$?; rm -f "$3"; exit "$code"; }
		umask 022
		if ! [ -d "$2" ]; then mkdir -p "$2" || { [ ! -e "$2" ] || exit 82; exit 1; }; fi
		[ ! -d "$1" ] || exit 82
		[ -w "$2" ] && [ -x "$2" ] || exit 81
		umask 077
		cat > "$3" || fail "$@"
		[ "$(wc -c < "$3")" -eq "$5" ] || { rm -f "$3"; exit 86; }
		chmod "$4" "$3" && mv -f "$3" "$1" || fail "$@"`,
		scriptRun{
			arguments: []string{name, dir, temporary, fmt.Sprintf("%04o", mode.Perm()), strconv.Itoa(len(content))},
			stdin:     content, changes: true,
		})
	if err != nil {
		return err
	}
	return makingError(scriptError(operation, name, result))
}

// MakeDirByCommand is [MakeDir] through RunCommand.
func MakeDirByCommand(ctx context.Context, b Backend, id, path string) error {
	const operation = "make directory"
	result, err := runScript(ctx, b, id, operation, `
		umask 022
		[ -d "$1" ] || mkdir -p "$1" || { [ ! -e "$1" ] || exit 82; exit 1; }`,
		scriptRun{arguments: []string{path}, changes: true})
	if err != nil {
		return err
	}
	return makingError(scriptError(operation, path, result))
}

// statFormat makes records whose fields, the name last, are separated by what no name contains. They end in a newline.
const statFormat = "/%f/%s/%Y/%n"

// ReadDirByCommand is [ReadDir] through RunCommand.
func ReadDirByCommand(ctx context.Context, b Backend, id, path string) ([]FileInfo, error) {
	const operation = "read directory"
	// A file that vanishes between the listing and its stat is left out, like one that vanished before. Batches keep the
	// argument lists of large directories within what the kernel takes.
	result, err := runScript(ctx, b, id, operation, `
		[ -e "$1" ] || absent "$1"
		[ -d "$1" ] || exit 84
		[ -r "$1" ] && cd "$1" || exit 81
		command -v stat > /dev/null || { echo 'stat: not found' >&2; exit 127; }
		format=$2
		show() { [ "$#" -eq 0 ] || stat -c "$format" -- "$@" 2> /dev/null; }
		set --
		for name in .* *; do
			case $name in . | ..) continue ;; esac
			here "$name" || continue
			set -- "$@" "$name"
			[ "$#" -lt 200 ] || { show "$@"; set --; }
		done
		show "$@"
		exit 0`,
		scriptRun{arguments: []string{path, statFormat}})
	if err != nil {
		return nil, err
	}
	if err := scriptError(operation, path, result); err != nil {
		return nil, err
	}
	if result.StdoutTruncated {
		return nil, pathError(operation, path, ErrTooLarge)
	}
	return parseEntries(operation, result.Stdout)
}

// StatByCommand is [Stat] through RunCommand.
func StatByCommand(ctx context.Context, b Backend, id, name string) (FileInfo, error) {
	const operation = "stat"
	result, err := runScript(ctx, b, id, operation, `
		here "$1" || absent "$1"
		exec stat -c "$2" -- "$1"`,
		scriptRun{arguments: []string{name, "/%f/%s/%Y/"}})
	if err != nil {
		return FileInfo{}, err
	}
	if err := scriptError(operation, name, result); err != nil {
		return FileInfo{}, err
	}
	entries, err := parseEntries(operation, result.Stdout)
	if err != nil {
		return FileInfo{}, err
	}
	if len(entries) != 1 {
		return FileInfo{}, unreadable(operation, result.Stdout)
	}
	entries[0].Name = path.Base(name)
	return entries[0], nil
}

// RemoveByCommand is [Remove] through RunCommand.
func RemoveByCommand(ctx context.Context, b Backend, id, path string) error {
	const operation = "remove"
	result, err := runScript(ctx, b, id, operation, `
		here "$1" || absent "$1"
		exec rm -rf "$1"`,
		scriptRun{arguments: []string{path}, changes: true})
	if err != nil {
		return err
	}
	return scriptError(operation, path, result)
}

// scriptRun is what differs from one script's run to another's.
type scriptRun struct {
	arguments   []string
	stdin       []byte
	outputLimit int64
	// changes says that the script changes files, so that an unknown end is Ambiguous.
	changes bool
}

func runScript(ctx context.Context, b Backend, id, operation, script string, run scriptRun) (Result, error) {
	command := Command{
		Argv:       append([]string{"sh", "-c", scriptPrelude + script, "sh"}, run.arguments...),
		WorkingDir: "/", // the remote's own may be gone, which is no reason not to reach other files
		Stdin:      run.stdin, OutputLimit: run.outputLimit,
	}
	if deadline, ok := ctx.Deadline(); ok {
		// Otherwise a script could go on in the remote after its caller gave up.
		command.Timeout = max(time.Until(deadline), time.Millisecond)
	}
	result, err := b.RunCommand(ctx, id, command)
	if err == nil && result.TimedOut {
		return result, unknownEnd(operation, run.changes)
	}
	return result, err
}

func unknownEnd(operation string, changes bool) error {
	code := Unavailable
	if changes {
		code = Ambiguous
	}
	return Errorf(code, remoteFiles, operation, "did not end in time")
}

// scriptError turns a script's exit code, and what its tools said, into an error.
func scriptError(operation, name string, result Result) error {
	switch result.ExitCode {
	case 0:
		return nil
	case exitNotExist:
		return pathError(operation, name, fs.ErrNotExist)
	case exitPermission:
		return pathError(operation, name, fs.ErrPermission)
	case exitExist:
		return pathError(operation, name, fs.ErrExist)
	case exitIsDir:
		return pathError(operation, name, errIsDir)
	case exitNotDir:
		return pathError(operation, name, errNotDir)
	case exitIrregular:
		return pathError(operation, name, fs.ErrInvalid)
	case exitIncomplete:
		return Errorf(Unavailable, remoteFiles, operation, "the content did not arrive whole; nothing was changed")
	case exitNoCommand:
		return Errorf(Unsupported, remoteFiles, operation,
			"needs a POSIX shell and coreutils or BusyBox in the sandbox: %s", Bounded(lastLine(result.Stderr), 200))
	}
	return pathError(operation, name, toolError(result))
}

// toolError reads the words of the C library at the end of what a tool said.
func toolError(result Result) error {
	line := lastLine(result.Stderr)
	for words, err := range map[string]error{
		"Permission denied": fs.ErrPermission, "Operation not permitted": fs.ErrPermission,
		"File exists": fs.ErrExist, "No such file or directory": fs.ErrNotExist,
		"Not a directory": errNotDir, "Is a directory": errIsDir,
	} {
		if strings.HasSuffix(line, ": "+words) {
			return err
		}
	}
	if line == "" {
		return fmt.Errorf("exit code %d", result.ExitCode)
	}
	return errors.New(Bounded(line, 200))
}

// makingError says of a path below something that is no directory that this exists, as [FileWriter] has it.
func makingError(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(pathErr.Err, errNotDir) {
		pathErr.Err = fs.ErrExist
	}
	return err
}

func lastLine(output []byte) string {
	output = bytes.TrimSpace(output)
	return string(output[bytes.LastIndexByte(output, '\n')+1:])
}

// parseEntries reads records of [statFormat]. Names hold no slash, so every fourth field is one, whatever else it holds.
func parseEntries(operation string, output []byte) ([]FileInfo, error) {
	fields := strings.Split(string(output), "/")[1:]
	if len(fields)%4 != 0 {
		return nil, unreadable(operation, output)
	}
	entries := make([]FileInfo, 0, len(fields)/4)
	for record := range slices.Chunk(fields, 4) {
		entry, err := parseEntry(record)
		if err != nil {
			return nil, unreadable(operation, output)
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b FileInfo) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func parseEntry(record []string) (FileInfo, error) {
	mode, modeErr := strconv.ParseUint(record[0], 16, 32)
	size, sizeErr := strconv.ParseInt(record[1], 10, 64)
	changed, changedErr := strconv.ParseInt(record[2], 10, 64)
	name, ended := strings.CutSuffix(record[3], "\n")
	if err := errors.Join(modeErr, sizeErr, changedErr); err != nil {
		return FileInfo{}, err
	}
	if !ended {
		return FileInfo{}, errors.New("record has no end")
	}
	entry := FileInfo{Name: name, Size: size, Mode: unixMode(uint32(mode)), ModTime: time.Unix(changed, 0)}
	if entry.Mode.IsDir() {
		entry.Size = 0
	}
	return entry, nil
}

func unreadable(operation string, output []byte) error {
	return Errorf(Unavailable, remoteFiles, operation, "the sandbox's stat said something unreadable: %q",
		Bounded(string(output), 100))
}

// unixMode translates Linux's st_mode.
func unixMode(mode uint32) fs.FileMode {
	types := map[uint32]fs.FileMode{
		0o010000: fs.ModeNamedPipe, 0o020000: fs.ModeDevice | fs.ModeCharDevice, 0o040000: fs.ModeDir,
		0o060000: fs.ModeDevice, 0o120000: fs.ModeSymlink, 0o140000: fs.ModeSocket,
	}
	translated := fs.FileMode(mode&0o777) | types[mode&0o170000]
	for bit, flag := range map[uint32]fs.FileMode{
		0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky,
	} {
		if mode&bit != 0 {
			translated |= flag
		}
	}
	return translated
}
