// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

const (
	// mostKept bounds one output in status, and mostOutputs what all of them take in its JSON, in bytes.
	mostKept    = 16 << 10
	mostOutputs = 40 << 10
	// mostStored bounds what goes into one ConfigMap or Secret, in bytes: the API server takes 1 MiB with all that is around.
	mostStored = 900 << 10
	// mostEntries bounds the listing of a directory.
	mostEntries = 100
)

// output is one of spec.outputs, or a rich result, on its way to the status.
type output struct {
	status   v1alpha1.OutputStatus
	required bool
	// to is where content goes; nil = into status. content is nil where there is none.
	to      *v1alpha1.OutputDestination
	content []byte
}

// endWithOutputs collects what is wanted of the sandbox after the command's end, stores it, and records how the run ended.
func (p *execPass) endWithOutputs(ctx context.Context, run *execution.Run, e ending) (ctrl.Result, error) {
	if p.isRetried(e) {
		return p.end(ctx, run, e)
	}
	outputs, err := p.collect(ctx, &e)
	if err != nil {
		return retryLater(err)
	}
	if requireOutputs(&e, outputs); p.isRetried(e) {
		return p.end(ctx, run, e)
	}
	if err := p.store(ctx, &e, outputs); err != nil {
		return ctrl.Result{}, err
	}
	requireOutputs(&e, outputs)
	for i := range outputs {
		e.outputs = append(e.outputs, outputs[i].status)
	}
	fitOutputs(e.outputs)
	return p.end(ctx, run, e)
}

// collect reads the outputs, and takes the rich results over. An error is one of the sandbox: it may be tried again.
func (p *execPass) collect(ctx context.Context, e *ending) ([]output, error) {
	var outputs []output
	for i := range p.exec.Spec.Outputs {
		spec := &p.exec.Spec.Outputs[i]
		limit := int64(mostKept)
		if spec.To != nil {
			limit = mostStored
		}
		collected, err := execution.Collect(ctx, p.remote, spec.Path, limit)
		if errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) || errors.Is(err, backends.Unsupported) ||
			errors.Is(err, backends.Invalid) {
			// How the command ended is known all the same.
			collected, err = execution.Collected{Finding: execution.FoundUnreadable, Err: err}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("collecting output %s: %w", spec.Path, err)
		}
		outputs = append(outputs, outputOf(spec, collected, limit))
	}
	for i := range e.rich {
		outputs = append(outputs, p.resultOf(&e.rich[i]))
	}
	for i := range outputs {
		outputs[i].redact(*e)
	}
	return outputs, nil
}

// outputOf says what was found at a path.
func outputOf(spec *v1alpha1.ExecOutput, found execution.Collected, limit int64) output {
	o := output{status: v1alpha1.OutputStatus{Name: spec.Path}, required: spec.Presence == v1alpha1.OutputRequired, to: spec.To}
	status := &o.status
	if found.Info.Mode.IsRegular() && (found.Finding == execution.FoundFile || found.Finding == execution.FoundTooLarge) {
		status.Bytes, status.Mode = new(found.Info.Size), octal(found.Info.Mode)
	}
	switch found.Finding {
	case execution.FoundFile:
		o.take(found.Content)
	case execution.FoundDirectory:
		status.State, status.Mode = v1alpha1.OutputListed, octal(found.Info.Mode)
		if spec.To != nil {
			status.Message = "It is a directory: only its listing is kept, here; to have its files, name them, or an archive of them"
		}
		status.EntryCount = new(int32(min(len(found.Entries), 1<<30)))
		for _, entry := range found.Entries[:min(len(found.Entries), mostEntries)] {
			status.Entries = append(status.Entries, entryOf(entry))
		}
	case execution.FoundNothing:
		status.State = v1alpha1.OutputMissing
	case execution.FoundTooLarge:
		o.tooLarge(limit)
	case execution.FoundOther:
		status.State, status.Message = v1alpha1.OutputNotRegular, "It is neither a file nor a directory"
	case execution.FoundUnreadable:
		status.State = v1alpha1.OutputUnreadable
		status.Message = backends.Bounded(fmt.Sprintf("It could not be read: %v", found.Err), 512)
	}
	return o
}

// take takes the content over, with its size and digest.
func (o *output) take(content []byte) {
	if content == nil {
		// An empty file is a file; nil means that there is none.
		content = []byte{}
	}
	sum := sha256.Sum256(content)
	o.content = content
	o.status.Bytes, o.status.SHA256 = new(int64(len(content))), hex.EncodeToString(sum[:])
	switch {
	case o.to != nil:
	case len(content) > mostKept:
		o.tooLarge(mostKept)
	case !utf8.Valid(content):
		o.status.State = v1alpha1.OutputNotText
		o.status.Message = "It is no UTF-8 text, which status can't hold: name a ConfigMap or a Secret for it in to"
		o.content = nil
	default:
		o.status.State = v1alpha1.OutputKept
	}
}

func (o *output) tooLarge(limit int64) {
	size := "It is larger than"
	if o.status.Bytes != nil {
		size = fmt.Sprintf("It is %d bytes, more than", *o.status.Bytes)
	}
	o.status.State, o.content = v1alpha1.OutputTooLarge, nil
	if o.status.Bytes != nil && *o.status.Bytes > mostStored {
		// No other place helps.
		o.status.Message = fmt.Sprintf("%s the %d that one ConfigMap or Secret takes: write less, or have the command "+
			"send it to a store of yours", size, mostStored)
		return
	}
	if o.to == nil {
		o.status.Message = fmt.Sprintf("%s the %d that status takes: name a ConfigMap or a Secret for it in to, which takes %d",
			size, limit, mostStored)
		return
	}
	o.status.Message = fmt.Sprintf("%s the %d that one ConfigMap or Secret takes: give it one of its own, write less, or have the "+
		"command send it to a store of yours", size, limit)
}

// redact takes values of Secrets out of what does not go into a Secret.
func (o *output) redact(e ending) {
	if o.content == nil || (o.to != nil && o.to.Secret != nil) {
		return
	}
	if e.withheld {
		o.status.State, o.status.SHA256, o.content = v1alpha1.OutputWithheld, "", nil
		o.status.Message = "The Secrets that the command was given have changed since"
		return
	}
	if clean := e.redaction.whole(o.content); !bytes.Equal(clean, o.content) {
		o.content, o.status.SHA256 = clean, ""
	}
	if o.to == nil {
		o.status.Content = string(o.content)
	}
}

// resultOf is a rich result as an output. Without a destination, text goes into status, and of the rest size and digest are kept.
func (p *execPass) resultOf(result *backends.RichResult) output {
	o := output{status: v1alpha1.OutputStatus{
		Name: backends.Bounded(result.Name, 255), MediaType: backends.Bounded(result.MediaType, 128),
	}}
	if to := p.exec.Spec.Code.Results; to != nil {
		o.to = to.DeepCopy()
		for _, key := range []*v1alpha1.DestinationKey{o.to.ConfigMap, o.to.Secret} {
			if key != nil {
				// One key can't hold all of them: it stands before their names.
				key.Key += keyOf(o.status.Name)
			}
		}
	}
	o.take(result.Data)
	return o
}

// requireOutputs makes a success that lacks what it must have a failure.
func requireOutputs(e *ending, outputs []output) {
	if e.outcome != v1alpha1.OutcomeSucceeded {
		return
	}
	var missing []string
	for i := range outputs {
		switch outputs[i].status.State {
		case "", v1alpha1.OutputKept, v1alpha1.OutputStored, v1alpha1.OutputListed:
		default:
			if outputs[i].required {
				missing = append(missing, fmt.Sprintf("%s (%s)", outputs[i].status.Name, outputs[i].status.State))
			}
		}
	}
	if len(missing) > 0 {
		e.outcome, e.reason = v1alpha1.OutcomeFailed, v1alpha1.ReasonOutputMissing
		e.message += "; outputs that are Required are not there: " + strings.Join(missing, ", ")
	}
}

// fitOutputs leaves out what does not fit into the status beside the rest.
func fitOutputs(outputs []v1alpha1.OutputStatus) {
	left := mostOutputs
	for i := range outputs {
		o := &outputs[i]
		size := outputSize(o)
		for size > left && len(o.Entries) > 0 {
			o.Entries = o.Entries[:len(o.Entries)/2]
			size = outputSize(o)
		}
		if size > left && o.Content != "" {
			o.State, o.Content = v1alpha1.OutputTooLarge, ""
			o.Message = "With the outputs before it, it is more than status takes: name a ConfigMap or a Secret for it in to"
			size = 0
		}
		left -= size
	}
}

func outputSize(o *v1alpha1.OutputStatus) int {
	encoded, _ := json.Marshal([]any{o.Content, o.Entries}) //nolint:errchkjson // strings and numbers always encode
	return len(encoded)
}

func entryOf(info backends.FileInfo) v1alpha1.DirectoryEntry {
	entry := v1alpha1.DirectoryEntry{
		Name: backends.Bounded(asText([]byte(info.Name)), 255), Type: v1alpha1.EntryOther, Mode: octal(info.Mode), Bytes: new(info.Size),
	}
	switch {
	case info.Mode.IsRegular():
		entry.Type = v1alpha1.EntryFile
	case info.Mode.IsDir():
		entry.Type, entry.Bytes = v1alpha1.EntryDirectory, nil
	case info.Mode.Type() == fs.ModeSymlink:
		entry.Type = v1alpha1.EntryLink
	}
	return entry
}

func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }

var notInKey = regexp.MustCompile(`[^-._a-zA-Z0-9]`)

// keyOf makes a key of a ConfigMap of the last element of a path.
func keyOf(name string) string {
	key := notInKey.ReplaceAllString(path.Base(name), "-")
	if strings.HasPrefix(key, "..") || key == "." {
		key = "-" + key[1:]
	}
	return key[:min(len(key), 200)]
}

// destination is where content goes, with the defaults put in.
type destination struct {
	secret    bool
	name, key string
}

func (d destination) kind() string {
	if d.secret {
		return "Secret"
	}
	return "ConfigMap"
}

func (p *execPass) destinationOf(to *v1alpha1.OutputDestination, key string) destination {
	d := destination{secret: to.Secret != nil, name: p.exec.Name, key: key}
	chosen := to.ConfigMap
	if d.secret {
		chosen = to.Secret
	}
	if chosen.Name != "" {
		d.name = chosen.Name
	}
	if chosen.Key != "" {
		d.key = chosen.Key
	}
	return d
}

// destinations are where outputs and streams go, as far as the spec says.
func (p *execPass) destinations() []destination {
	var all []destination
	for i := range p.exec.Spec.Outputs {
		if o := &p.exec.Spec.Outputs[i]; o.To != nil {
			all = append(all, p.destinationOf(o.To, keyOf(o.Path)))
		}
	}
	if streams := p.exec.Spec.Streams; streams != nil {
		for name, limits := range map[string]*v1alpha1.StreamLimits{stdoutName: streams.Stdout, stderrName: streams.Stderr} {
			if limits != nil && limits.To != nil {
				all = append(all, p.destinationOf(limits.To, name))
			}
		}
	}
	if code := p.exec.Spec.Code; code != nil && code.Results != nil {
		all = append(all, p.destinationOf(code.Results, ""))
	}
	return all
}

// Keys of streams where the spec names none.
const (
	stdoutName = "stdout"
	stderrName = "stderr"
)

// sameDestination finds two outputs that would go to one place.
func (p *execPass) sameDestination() error {
	all := p.destinations()
	for i, d := range all {
		if d.key != "" && slices.Contains(all[:i], d) {
			return fmt.Errorf("two outputs go to key %q of %s %q: name different keys in their to", d.key, d.kind(), d.name)
		}
	}
	return nil
}
