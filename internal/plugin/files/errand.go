// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

const (
	// pieceBytes is what one Secret takes of a content: as much as the operator puts into one (docs/files.md).
	pieceBytes = 900 << 10
	// mostPieces go into one run: less than the 16 MiB that it takes of inputs.
	mostPieces = 16
	// atOnce is how many requests are under way.
	atOnce = 4
	// errandSeconds bounds what a script does: an archive of many small files takes a while.
	errandSeconds = 900
	// startSeconds is how long a sandbox may take to become Ready.
	startSeconds = 300
)

//go:embed scripts
var scripts embed.FS

// script is the text of one of the scripts, with what all begin with.
func script(name string) string {
	var text strings.Builder
	for _, file := range []string{"common.sh", name} {
		content, err := scripts.ReadFile("scripts/" + file)
		if err != nil {
			panic(err) // a name that is not in this package
		}
		for line := range strings.Lines(string(content)) {
			if !strings.HasPrefix(line, "#") {
				text.WriteString(line)
			}
		}
	}
	return text.String()
}

// escaped is a path as scripts want it: with all but the harmless as octal escapes, so that bytes that are no text, newlines and
// dashes arrive as they are.
func escaped(path string) string {
	var text strings.Builder
	for i := range len(path) {
		c := path[i]
		if c < 0x80 && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) || strings.IndexByte("/._", c) >= 0) {
			text.WriteByte(c)
		} else {
			fmt.Fprintf(&text, `\0%03o`, c)
		}
	}
	return text.String()
}

// errands run scripts in one sandbox.
type errands struct {
	runs.Runner
	namespace, sandbox string
}

// newErrands looks at the sandbox first: a run in one that is not there would wait for it.
func newErrands(ctx context.Context, f *cli.Factory, sandbox string) (*errands, error) {
	c, namespace, err := f.Cluster()
	if err != nil {
		return nil, err
	}
	found := &v1alpha1.Sandbox{}
	if err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: sandbox}, found); err != nil {
		return nil, cli.Explain(err)
	}
	if err := usable(found); err != nil {
		return nil, err
	}
	return &errands{Runner: runs.Runner{Client: c, Notes: f.ErrOut}, namespace: namespace, sandbox: sandbox}, nil
}

// usable says why no run will ever start in the sandbox as it is.
func usable(sandbox *v1alpha1.Sandbox) error {
	if sandbox.DeletionTimestamp != nil {
		return cli.Fail("choose another", "Sandbox %q is being deleted", sandbox.Name)
	}
	if sandbox.Spec.DesiredState == v1alpha1.DesiredPaused {
		return cli.Fail("kubectl sandbox resume "+sandbox.Name, "Sandbox %q is paused", sandbox.Name)
	}
	if meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionStalled) {
		message := "it has failed"
		if ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			message = ready.Message
		}
		return cli.Fail("kubectl sandbox describe "+sandbox.Name, "Sandbox %q is not usable: %s", sandbox.Name, message)
	}
	return nil
}

// errand is one run of a script.
type errand struct {
	script    string
	arguments []string
	// pieces are put into the directory stage before it runs, as part-00 and so on.
	pieces [][]byte
	stage  string
}

// answer is what a script printed.
type answer struct {
	out []byte
	err string
}

// do runs an errand once, and leaves nothing of it in the cluster, whatever way it ends.
func (e *errands) do(ctx context.Context, order errand) (answer, error) {
	exec := e.object(order)
	if err := e.Create(ctx, exec, nil); err != nil {
		if !refused(err) {
			e.Clear(ctx, exec)
		}
		return answer{}, err
	}
	defer e.Clear(ctx, exec)
	if err := e.deliver(ctx, exec, order.pieces); err != nil {
		return answer{}, err
	}
	var out, said bytes.Buffer
	err := e.Follow(ctx, exec, runs.Streams{Out: &out, Err: &said})
	if err != nil {
		return answer{}, e.explain(exec, err, said.String())
	}
	if lost := lost(exec.Status.Stdout, out.Len()); lost != nil {
		return answer{}, lost
	}
	return answer{out.Bytes(), said.String()}, nil
}

// refused says whether the API server itself said no. With any other error, as by a Ctrl-C that only cuts off the answer, it may
// have made the object all the same.
func refused(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= http.StatusBadRequest && status.Status().Code < http.StatusInternalServerError
}

// object is the run. What it prints goes into a Secret, and not into its status, which more people may read.
func (e *errands) object(order errand) *v1alpha1.SandboxExec {
	name := runs.NewName("files")
	exec := &v1alpha1.SandboxExec{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name},
		Spec: v1alpha1.SandboxExecSpec{
			SandboxRef:           &v1alpha1.LocalReference{Name: e.sandbox},
			Command:              append([]string{"sh", "-c", script(order.script), order.script}, order.arguments...),
			TimeoutSeconds:       new(int32(errandSeconds)),
			StartDeadlineSeconds: new(int32(startSeconds)),
			// Where this program is killed before it can clear up.
			TTLSecondsAfterFinished: new(int32(errandSeconds)),
			Streams: &v1alpha1.ExecStreams{Stdout: &v1alpha1.StreamLimits{
				HeadBytes: new(int32(0)), TailBytes: new(int32(0)),
				To: &v1alpha1.OutputDestination{Secret: &v1alpha1.DestinationKey{Name: name + "-out"}},
			}},
		},
	}
	for i := range order.pieces {
		exec.Spec.Inputs = append(exec.Spec.Inputs, v1alpha1.File{
			Path: path.Join(order.stage, fmt.Sprintf("part-%02d", i)), Mode: new(int32(0o600)),
			Content: v1alpha1.Content{ContentFrom: &v1alpha1.ValueSource{SecretKeyRef: &v1alpha1.KeyReference{
				Name: pieceName(name, i), Key: pieceKey,
			}}},
		})
	}
	return exec
}

const pieceKey = "content"

func pieceName(exec string, i int) string { return fmt.Sprintf("%s-in-%02d", exec, i) }

// deliver makes the Secrets that the run waits for, which belong to it, and has the operator look again: by itself it would,
// after some seconds.
func (e *errands) deliver(ctx context.Context, exec *v1alpha1.SandboxExec, pieces [][]byte) error {
	if len(pieces) == 0 {
		return nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, piece := range pieces {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: e.namespace, Name: pieceName(exec.Name, i), Labels: map[string]string{runs.MadeByLabel: runs.MadeBy},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: v1alpha1.GroupVersion.String(), Kind: "SandboxExec", Name: exec.Name, UID: exec.UID,
				}},
			},
			Immutable: new(true),
			Data:      map[string][]byte{pieceKey: piece},
		}
		group.Go(func() error { return e.Client.Create(groupCtx, secret) })
	}
	if err := group.Wait(); err != nil {
		return cli.Explain(err)
	}
	// Only a change of the spec wakes it. That of this field has no other effect.
	wake := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"desiredState":"Finished"}}`))
	if err := e.Client.Patch(ctx, exec, wake); err != nil {
		return cli.Explain(err)
	}
	return nil
}

// explain makes one line of how an errand ended that did not succeed.
func (e *errands) explain(exec *v1alpha1.SandboxExec, err error, said string) error {
	var failure *cli.Failure
	code := exec.Status.ExitCode
	switch {
	case code != nil && *code == CodeFailed && exec.Status.Outcome == v1alpha1.OutcomeFailed && strings.TrimSpace(said) != "":
		return &cli.Failure{Problem: e.sandbox + ": " + cli.Visible(firstLine(said)), Code: CodeFailed}
	case exec.Status.Outcome == v1alpha1.OutcomeFailed && code != nil && *code == 127,
		exec.Status.Reason == v1alpha1.ReasonSpoolUnavailable:
		return &cli.Failure{
			Problem: fmt.Sprintf("Sandbox %q has no shell (sh), or its disk is full", e.sandbox), Code: CodeFailed,
			Next: "kubectl sandbox exec runs its own programs; inputs and outputs of a SandboxExec move files (docs/files.md)",
		}
	case exec.Status.Outcome == v1alpha1.OutcomeFailed && code != nil:
		return &cli.Failure{
			Problem: fmt.Sprintf("%s: the script ended with exit code %d: %s", e.sandbox, *code, cli.Visible(firstLine(said))),
			Code:    CodeFailed,
		}
	case errors.As(err, &failure) && failure.Code == cli.CodeTimedOut:
		return &cli.Failure{Problem: failure.Problem, Next: "copy less at once", Code: cli.CodeTimedOut}
	}
	return err
}

// lost says whether output is missing though the script succeeded, as where a Secret of the sandbox changed meanwhile.
func lost(stream *v1alpha1.StreamStatus, have int) error {
	if stream == nil || stream.Bytes == nil || *stream.Bytes == int64(have) {
		return nil
	}
	return cli.Fail("try again", "of %d bytes that the sandbox sent, %d were kept (%s)", *stream.Bytes, have, stream.Retention)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// unchecked warns where the sandbox could not say what it has.
func (e *errands) unchecked() {
	fmt.Fprintf(e.Notes, "kubectl sandbox: Sandbox %q has no sha256sum: the size is right, the rest was not checked\n", e.sandbox)
}

// newStage is a directory in the sandbox for one copy.
func newStage() string { return "/tmp/.sandbox-copy-" + rand.String(10) }

// clean takes a stage away after a copy that failed or was cancelled. What it can't, stays there.
func (e *errands) clean(ctx context.Context, stage string, to io.Writer) {
	const patience = 15 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if _, err := e.do(ctx, errand{script: "clean.sh", arguments: []string{stage}}); err != nil {
		fmt.Fprintf(to, "kubectl sandbox: %s may be left in Sandbox %q\n", stage, e.sandbox)
	}
}
