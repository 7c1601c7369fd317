// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

// runFlags say what to run. run and exec have them.
type runFlags struct {
	f        *cli.Factory
	command  *cobra.Command
	in, name string

	code, language             string
	files, results             []string
	env, envFrom               []string
	workingDir                 string
	timeout, startDeadline     time.Duration
	operatorTimeout            time.Duration
	stdin, detach, keep, quiet bool

	sandbox *sandboxFlags
}

// ownWorkingDir is where a sandbox of a run's own starts, so that relative paths mean the same at each provider.
const ownWorkingDir = "/workspace"

func runCommand(f *cli.Factory) *cobra.Command {
	r := &runFlags{f: f, sandbox: &sandboxFlags{}}
	command := &cobra.Command{
		Use:   "run [SANDBOX] [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command or code, in a sandbox of its own or in one that is there",
		Long: `Run a command or code in a sandbox, print its output as it comes, and end with its exit code.

Without SANDBOX it has a sandbox of its own, which is destroyed when it ends. The command line after -- goes to no shell: for
one, write -- sh -c '...'.

Exit codes: that of the command; 124 its time was over; 125 it could not be run, or how it ended is not known;
130 cancelled by Ctrl-C, which a second time leaves at once.`,
		Example: `  kubectl sandbox run -- echo hello
  kubectl sandbox run --image python:3.13 -- python3 --version
  kubectl sandbox run --code sum.py -f orders.csv -o sums.json
  sort -u words.txt | kubectl sandbox run -i -- wc -l
  kubectl sandbox run box -- ls -l
  kubectl sandbox run --detach --timeout 2h -- make test`,
		ValidArgsFunction: completeSandboxes(f, 1),
		RunE:              r.run,
	}
	r.add(command)
	command.Flags().StringVar(&r.in, "in", "", "Sandbox to run in, the same as SANDBOX.")
	_ = command.RegisterFlagCompletionFunc("in", completeSandboxes(f, -1))
	r.sandbox.add(f, command)
	return command
}

func execCommand(f *cli.Factory) *cobra.Command {
	r := &runFlags{f: f}
	command := &cobra.Command{
		Use:   "exec SANDBOX [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command or code in a sandbox that is there",
		Long: `Run a command or code in a sandbox that is there, print its output as it comes, and end with its exit code. There is no
terminal in it. Exit codes are those of kubectl sandbox run.`,
		Example: `  kubectl sandbox exec box -- ls -l
  kubectl sandbox exec box -i -- sh -c 'cat > notes.txt' < notes.txt
  kubectl sandbox exec box --code setup.sh`,
		ValidArgsFunction: completeSandboxes(f, 1),
		RunE: func(command *cobra.Command, arguments []string) error {
			if before := beforeDash(command, arguments); len(before) == 0 {
				return cli.Fail("kubectl sandbox get lists them; kubectl sandbox run -- COMMAND needs none", "no sandbox is named")
			}
			return r.run(command, arguments)
		},
	}
	r.add(command)
	return command
}

func (r *runFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&r.code, "code", "", "File with the code to run, or - for standard input; what is after -- are its arguments.")
	flags.StringVar(&r.language, "language", "", "Language of the code, where the file's extension does not say it.")
	flags.StringArrayVarP(&r.files, "file", "f", nil, "File or directory of this machine to put into the sandbox, LOCAL[:PATH].")
	flags.StringArrayVarP(&r.results, "output-file", "o", nil,
		"File of the sandbox to fetch afterwards, PATH[:LOCAL]; LOCAL - is standard output.")
	flags.StringArrayVarP(&r.env, "env", "e", nil, "Environment variable, NAME=VALUE; NAME alone takes the value from here.")
	flags.StringArrayVar(&r.envFrom, "env-from", nil, "Environment from all keys of secret/NAME or configmap/NAME.")
	flags.StringVarP(&r.workingDir, "workdir", "w", "", "Directory to start in.")
	flags.DurationVar(&r.timeout, "timeout", 5*time.Minute, "Time of the command, from its start; 0 = no limit.")
	flags.DurationVar(&r.startDeadline, "start-deadline", 15*time.Minute, "How long it may wait for its sandbox.")
	flags.BoolVarP(&r.stdin, "stdin", "i", false, "Give it standard input, all of it, up to its end.")
	flags.StringVar(&r.name, "name", "", "Name of the SandboxExec; without it, one is made up.")
	flags.BoolVarP(&r.detach, "detach", "d", false, "Print the name of the SandboxExec and leave; it is deleted a day after its end.")
	flags.BoolVar(&r.keep, "keep", false, "Keep the SandboxExec with its result.")
	flags.BoolVarP(&r.quiet, "quiet", "q", false, "Say nothing of waiting.")
	flags.DurationVar(&r.operatorTimeout, "operator-timeout", runs.ObservedWithin, "How long an operator may take to see it.")
	_ = command.RegisterFlagCompletionFunc("language", cobra.FixedCompletions(languages(), cobra.ShellCompDirectiveNoFileComp))
	for _, none := range []string{"env", "env-from", "workdir", "timeout", "start-deadline", "name", "operator-timeout"} {
		_ = command.RegisterFlagCompletionFunc(none, cobra.NoFileCompletions)
	}
}

// beforeDash are the arguments before --.
func beforeDash(command *cobra.Command, arguments []string) []string {
	if dash := command.ArgsLenAtDash(); dash >= 0 {
		return arguments[:dash]
	}
	return arguments
}

func (r *runFlags) run(command *cobra.Command, arguments []string) error {
	r.command = command
	before := beforeDash(command, arguments)
	argv := arguments[len(before):]
	if err := r.check(before, argv); err != nil {
		return err
	}
	c, namespace, err := r.f.Cluster()
	if err != nil {
		return err
	}
	exec, cargo, results, err := r.make(command.Context(), c, namespace, argv)
	if err != nil {
		return err
	}
	// Not before: while standard input is read there is nothing to cancel, and Ctrl-C ends this program as it ends any other.
	interrupts, stop := runs.Interrupts()
	defer stop()
	runner := &runs.Runner{
		Client: c, Notes: r.f.ErrOut, Interrupts: interrupts, ObservedWithin: r.operatorTimeout, Quiet: r.quiet,
	}
	if err := runner.Create(command.Context(), exec, cargo); err != nil {
		// Whoever is cut off again leaves at once.
		stop()
		return r.notMade(command.Context(), runner, exec, err)
	}
	if r.detach {
		r.leave(exec)
		return nil
	}
	return r.follow(command.Context(), runner, exec, results)
}

// check complains of a command line that means nothing, before the cluster is asked anything.
func (r *runFlags) check(before, argv []string) error {
	switch {
	case len(before) > 1:
		return cli.Fail("write -- before it: "+r.command.CommandPath()+" -- "+strings.Join(before, " "), "the command is not marked as one")
	case len(before) == 1 && r.in != "":
		return cli.Fail("leave one out", "two sandboxes are named: %s and %s", before[0], r.in)
	case len(before) == 1:
		r.in = before[0]
	}
	return r.checkFlags(argv)
}

func (r *runFlags) checkFlags(argv []string) error {
	switch {
	case len(argv) == 0 && r.code == "":
		return cli.Fail(r.command.CommandPath()+" "+strings.TrimLeft(r.in+" ", " ")+"-- COMMAND, or --code FILE", "there is nothing to run")
	case r.in != "" && r.sandbox != nil && r.sandbox.given() != "":
		return cli.Fail("leave it out, or make a sandbox with it: kubectl sandbox create",
			"--%s is of a sandbox that is made, and %s is there already", r.sandbox.given(), r.in)
	case r.stdin && r.code == "-":
		return cli.Fail("put the code into a file", "standard input can't be the code and the command's input")
	case r.detach && len(r.results) > 0:
		return cli.Fail("leave one out", "-o needs the end of the run, and --detach does not wait for it")
	case r.language != "" && r.code == "":
		return cli.Fail("--code FILE names it", "--language is given without code")
	}
	return nil
}

// make makes the object of what the command line says, with what it carries and what is to be fetched. Nothing is created yet.
func (r *runFlags) make(ctx context.Context, c client.Client, namespace string, argv []string) (
	*v1alpha1.SandboxExec, *runs.Cargo, []result, error,
) {
	prefix := "run"
	if r.in != "" {
		prefix = r.in[:min(len(r.in), 40)]
	}
	exec := &v1alpha1.SandboxExec{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: r.name}}
	if r.name == "" {
		exec.Name = runs.NewName(strings.TrimRight(prefix, "-."))
	}
	dir, err := r.where(ctx, c, exec)
	if err != nil {
		return nil, nil, nil, err
	}
	cargo := runs.NewCargo(exec.Name)
	results, err := resultsOf(r.results, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	if exec.Spec.Inputs, err = inputsOf(r.files, dir, cargo); err != nil {
		return nil, nil, nil, err
	}
	exec.Spec.Outputs = outputs(results, exec.Name)
	for _, part := range []func(*v1alpha1.SandboxExec, *runs.Cargo, []string) error{r.program, r.surroundings, r.times} {
		if err := part(exec, cargo, argv); err != nil {
			return nil, nil, nil, err
		}
	}
	runs.Prepare(exec)
	return exec, cargo, results, nil
}

// where says in which sandbox it runs, and where relative paths are there.
func (r *runFlags) where(ctx context.Context, c client.Client, exec *v1alpha1.SandboxExec) (dir string, err error) {
	if r.in == "" {
		exec.Spec.Sandbox, err = r.sandbox.spec(ctx, c, exec.Namespace)
		if err != nil {
			return "", err
		}
		exec.Spec.Sandbox.WorkingDir = ownWorkingDir
		dir = ownWorkingDir
	} else {
		exec.Spec.SandboxRef = &v1alpha1.LocalReference{Name: r.in}
		sandbox := &v1alpha1.Sandbox{}
		err := c.Get(ctx, client.ObjectKey{Namespace: exec.Namespace, Name: r.in}, sandbox)
		// Who may not look may still run in it.
		if err != nil && !apierrors.IsForbidden(err) {
			return "", cli.Explain(err)
		}
		dir = sandbox.Spec.WorkingDir
	}
	if r.workingDir != "" {
		dir = r.workingDir
	}
	return dir, nil
}

// program is the command, or the code, and what it reads.
func (r *runFlags) program(exec *v1alpha1.SandboxExec, cargo *runs.Cargo, argv []string) error {
	if r.stdin {
		content, err := io.ReadAll(io.LimitReader(r.f.In, runs.MostCarried+1))
		if err != nil {
			return cli.Fail("", "reading standard input: %v", err)
		}
		stdin, err := cargo.Content("standard input", content)
		if err != nil {
			return err
		}
		exec.Spec.Stdin = &stdin
	}
	if r.code == "" {
		exec.Spec.Command = argv
		return nil
	}
	source, err := r.source()
	if err != nil {
		return err
	}
	language, err := languageOf(r.code, r.language)
	if err != nil {
		return err
	}
	exec.Spec.Code = &v1alpha1.ExecCode{Language: language, Source: string(source), Arguments: argv}
	return nil
}

func (r *runFlags) source() ([]byte, error) {
	var source []byte
	var err error
	if r.code == "-" {
		source, err = io.ReadAll(r.f.In)
	} else {
		source, err = os.ReadFile(r.code)
	}
	const most = 256 << 10
	switch {
	case err != nil:
		return nil, unreadable(r.code, err)
	case len(source) == 0:
		return nil, cli.Fail("", "the code in %s is empty", r.code)
	case len(source) > most:
		return nil, cli.Fail("put parts of it into files of their own, with -f", "the code in %s is longer than %d KiB", r.code, most>>10)
	}
	return source, nil
}

func (r *runFlags) surroundings(exec *v1alpha1.SandboxExec, _ *runs.Cargo, _ []string) (err error) {
	exec.Spec.WorkingDir = r.workingDir
	if exec.Spec.Env, err = environment(r.env, os.LookupEnv); err != nil {
		return err
	}
	exec.Spec.EnvFrom, err = environmentFrom(r.envFrom)
	return err
}

// detachedTTL is how long a run is kept, once finished, that nobody waits for.
const detachedTTL = 24 * time.Hour

// times also says when the object goes where this program is killed before it can delete it: nothing costs for ever.
func (r *runFlags) times(exec *v1alpha1.SandboxExec, _ *runs.Cargo, _ []string) (err error) {
	if exec.Spec.TimeoutSeconds, err = seconds(r.command, "timeout", r.timeout); err != nil {
		return err
	}
	if exec.Spec.StartDeadlineSeconds, err = seconds(r.command, "start-deadline", r.startDeadline); err != nil {
		return err
	}
	switch {
	case r.keep:
	case r.detach:
		exec.Spec.TTLSecondsAfterFinished = new(int32(detachedTTL / time.Second))
	default:
		exec.Spec.TTLSecondsAfterFinished = new(int32(runs.LeftBehindTTL / time.Second))
	}
	return nil
}

// notMade leaves nothing of a run whose making was cut off: the API server may have it all the same.
func (r *runFlags) notMade(ctx context.Context, runner *runs.Runner, exec *v1alpha1.SandboxExec, err error) error {
	failure, ok := errors.AsType[*cli.Failure](err)
	switch {
	case !ok || failure.Code != cli.CodeCancelled || exec.UID != "":
	case r.name != "":
		// There may have been one of this name before, which is another's.
		failure.Next = fmt.Sprintf("kubectl sandbox get -n %s exec %s shows whether it is there", exec.Namespace, exec.Name)
	default:
		runner.Clear(ctx, exec)
	}
	return err
}

// leave tells the name of a run that nobody waits for.
func (r *runFlags) leave(exec *v1alpha1.SandboxExec) {
	fmt.Fprintln(r.f.Out, exec.Name)
	if cli.IsTerminal(r.f.Out) {
		fmt.Fprintf(r.f.ErrOut, "kubectl sandbox logs -f %s shows its output\n", exec.Name)
	}
}

// follow prints what the run prints, fetches its files and clears it away: unless something of it could not be written here,
// and is nowhere else.
func (r *runFlags) follow(ctx context.Context, runner *runs.Runner, exec *v1alpha1.SandboxExec, results []result) error {
	err := runner.Follow(ctx, exec, runs.Streams{Out: r.f.Out, Err: r.f.ErrOut})
	keep := r.keep || runs.GoesOn(err) || runs.IsUnprinted(err)
	if runs.IsFinished(exec) && len(exec.Status.Outputs) > 0 {
		fetched := fetch(ctx, runner, exec, results, r.f.Out)
		keep = keep || fetched.unwritten != nil
		err = r.outcome(exec, err, fetched)
	}
	if !keep {
		runner.Clear(ctx, exec)
	}
	return err
}

// outcome is how the run ended, with which files are not here: each is said, and the exit code stays that of the command.
func (r *runFlags) outcome(exec *v1alpha1.SandboxExec, err error, fetched fetched) error {
	switch failure, _ := errors.AsType[*cli.Failure](err); {
	case fetched.missing == nil:
	case err == nil, exec.Status.Reason == v1alpha1.ReasonOutputMissing:
		err = fetched.missing
	case failure != nil && failure.Problem == "":
		// Whose line says why it ended, or that it was cancelled, needs no more of what it did not come to.
		r.complain(fetched.missing)
	}
	switch {
	case fetched.unwritten == nil:
	case err == nil:
		err = fetched.unwritten
	default:
		r.complain(fetched.unwritten)
	}
	return err
}

// complain prints the line of an error beside that with which the command ends.
func (r *runFlags) complain(err error) {
	cli.ExitCode(err, r.f.ErrOut)
}

// byExtension has the languages by the extensions of their files.
var byExtension = map[string]v1alpha1.CodeLanguage{
	".py": v1alpha1.LanguagePython, ".js": v1alpha1.LanguageJavaScript, ".mjs": v1alpha1.LanguageJavaScript,
	".cjs": v1alpha1.LanguageJavaScript, ".ts": v1alpha1.LanguageTypeScript, ".mts": v1alpha1.LanguageTypeScript,
	".sh": v1alpha1.LanguageShell, ".rb": v1alpha1.LanguageRuby, ".pl": v1alpha1.LanguagePerl, ".go": v1alpha1.LanguageGo,
}

func languages() []string {
	return []string{"python", "javascript", "typescript", "shell", "ruby", "perl", "go"}
}

// languageOf is what was said, else what the extension says.
func languageOf(file, said string) (v1alpha1.CodeLanguage, error) {
	if said != "" {
		if slices.Contains(languages(), said) {
			return v1alpha1.CodeLanguage(said), nil
		}
		return "", cli.Fail("it is one of "+strings.Join(languages(), ", "), "--language %s is not known", said)
	}
	if language, ok := byExtension[strings.ToLower(filepath.Ext(file))]; ok {
		return language, nil
	}
	return "", cli.Fail("name it: --language "+strings.Join(languages(), "|"), "the language of %s is not known by its name", file)
}
