// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

// stored is a ConfigMap or Secret on its way to the API server.
type stored struct {
	secret bool
	name   string
	data   map[string][]byte
	size   int
	// earlier says that a pass which was cut off has stored it: data is what it stored.
	earlier bool
}

// fits says that so much more goes into it, and takes account of it.
func (s *stored) fits(size int) bool {
	if s.size+size > mostStored {
		return false
	}
	s.size += size
	return true
}

// store puts outputs and streams into the objects that the spec names. What can't be stored says so in its status; an error is
// one of the API server, and may be tried again.
func (p *execPass) store(ctx context.Context, e *ending, outputs []output) error {
	objects := map[destination]*stored{}
	object := func(d destination) *stored {
		d.key = ""
		if objects[d] == nil {
			objects[d] = &stored{secret: d.secret, name: d.name, data: map[string][]byte{}}
		}
		return objects[d]
	}
	var pending []storing
	for i := range outputs {
		o := &outputs[i]
		if o.to == nil || o.content == nil {
			continue
		}
		d := p.destinationOf(o.to, keyOf(o.status.Name))
		into := object(d)
		if !into.fits(len(o.content)) {
			o.tooLarge(mostStored)
			continue
		}
		into.data[d.key] = o.content
		pending = append(pending, storing{into: into, keys: []string{d.key}, done: o.stored})
	}
	pending = append(pending, p.storeStreams(e, object)...)
	for _, d := range slices.Collect(maps.Keys(objects)) {
		problem, err := p.storeObject(ctx, objects[d])
		if err != nil {
			return err
		}
		for _, s := range pending {
			if s.into == objects[d] {
				s.done(objects[d], s.keys, problem)
			}
		}
	}
	return nil
}

// storing is content that waits for its object to be stored.
type storing struct {
	into *stored
	keys []string
	done func(in *stored, keys []string, problem *storeProblem)
}

// storeProblem is why an object could not be stored, now or later.
type storeProblem struct {
	state   v1alpha1.OutputState
	message string
}

func (s *stored) where(keys []string) *v1alpha1.StoredObject {
	where := &v1alpha1.StoredObject{Keys: keys}
	if s.secret {
		where.Secret = s.name
	} else {
		where.ConfigMap = s.name
	}
	return where
}

func (o *output) stored(in *stored, keys []string, problem *storeProblem) {
	if problem != nil {
		o.status.State, o.status.Message = problem.state, problem.message
		return
	}
	o.status.State, o.status.StoredIn = v1alpha1.OutputStored, in.where(keys)
	if in.earlier {
		sum := sha256.Sum256(in.data[keys[0]])
		o.status.Bytes = new(int64(len(in.data[keys[0]])))
		if o.status.SHA256 != "" {
			o.status.SHA256 = hex.EncodeToString(sum[:])
		}
	}
}

// storeStreams adds the whole of the streams to their objects, or beginning and end where they are longer.
func (p *execPass) storeStreams(e *ending, object func(destination) *stored) []storing {
	streams := p.exec.Spec.Streams
	if streams == nil || e.end == nil {
		return nil
	}
	var pending []storing
	for _, s := range []struct {
		name   string
		limits *v1alpha1.StreamLimits
		stream *execution.Stream
		where  **v1alpha1.StoredObject
		note   *string
	}{
		{stdoutName, streams.Stdout, &e.end.Stdout, &e.stdoutIn, &e.message},
		{stderrName, streams.Stderr, &e.end.Stderr, &e.stderrIn, &e.message},
	} {
		if s.limits == nil || s.limits.To == nil {
			continue
		}
		d := p.destinationOf(s.limits.To, s.name)
		if e.withheld && !d.secret {
			continue
		}
		parts := e.parts(d, s.stream)
		into, keys, size := object(d), slices.Sorted(maps.Keys(parts)), 0
		for _, part := range parts {
			size += len(part)
		}
		if !into.fits(size) {
			*s.note += fmt.Sprintf("; %s did not fit into %s %q beside the rest", s.name, d.kind(), d.name)
			continue
		}
		maps.Copy(into.data, parts)
		pending = append(pending, storing{into: into, keys: keys, done: func(in *stored, keys []string, problem *storeProblem) {
			if problem != nil {
				*s.note += fmt.Sprintf("; %s was not stored: %s", s.name, problem.message)
				return
			}
			*s.where = in.where(keys)
		}})
	}
	return pending
}

// parts are what of a stream is stored under which key.
func (e ending) parts(d destination, s *execution.Stream) map[string][]byte {
	redact := e.redaction
	if d.secret {
		redact = redaction{}
	}
	if !s.Truncated {
		return map[string][]byte{d.key: redact.whole(s.Head)}
	}
	return map[string][]byte{d.key + ".head": redact.head(s.Head), d.key + ".tail": redact.tail(s.Tail)}
}

// storeObject makes the object, owned by the run. One that this run made before, in a pass that was cut off, stays as it is, and
// is what the status speaks of.
func (p *execPass) storeObject(ctx context.Context, s *stored) (*storeProblem, error) {
	object := s.object(p.exec.Namespace)
	if err := controllerutil.SetControllerReference(p.exec, object, p.client.Scheme()); err != nil {
		return nil, fmt.Errorf("owning %s: %w", s.name, err)
	}
	// To wait for its own writes, the client would make an informer of the kind: nothing caches Secrets and ConfigMaps.
	err := p.client.Create(ctx, object, client.DisableReadYourWritesConsistency)
	switch {
	case apierrors.IsAlreadyExists(err):
		return p.storedEarlier(ctx, s)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsRequestEntityTooLargeError(err):
		return &storeProblem{v1alpha1.OutputDropped, backends.Bounded("The API server refused it: "+err.Error(), 512)}, nil
	case err != nil:
		return nil, fmt.Errorf("storing outputs in %s: %w", s.name, err)
	}
	return nil, nil //nolint:nilnil // no problem is an answer
}

func (s *stored) taken() string {
	kind := destination{secret: s.secret}.kind()
	return fmt.Sprintf("%s %q exists, and is not this run's: it is not overwritten; name another in to", kind, s.name)
}

func (s *stored) object(namespace string) client.Object {
	about := metav1.ObjectMeta{Namespace: namespace, Name: s.name}
	if s.secret {
		return &corev1.Secret{ObjectMeta: about, Data: s.data}
	}
	object := &corev1.ConfigMap{ObjectMeta: about, Data: map[string]string{}, BinaryData: map[string][]byte{}}
	for key, content := range s.data {
		if utf8.Valid(content) {
			object.Data[key] = string(content)
		} else {
			object.BinaryData[key] = content
		}
	}
	return object
}

// storedEarlier takes over what an earlier pass has stored. What is not this run's is a problem.
func (p *execPass) storedEarlier(ctx context.Context, s *stored) (*storeProblem, error) {
	object := (&stored{secret: s.secret}).object("")
	err := p.live.Get(ctx, types.NamespacedName{Namespace: p.exec.Namespace, Name: s.name}, object)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.name, err)
	}
	if !metav1.IsControlledBy(object, p.exec) {
		return &storeProblem{v1alpha1.OutputConflict, s.taken()}, nil
	}
	s.earlier, s.data = true, map[string][]byte{}
	switch o := object.(type) {
	case *corev1.Secret:
		s.data = o.Data
	case *corev1.ConfigMap:
		maps.Copy(s.data, o.BinaryData)
		for key, text := range o.Data {
			s.data[key] = []byte(text)
		}
	}
	return nil, nil //nolint:nilnil // no problem is an answer
}

// takenDestination finds an object that is to be made and that exists already, before the command is started.
func (p *execPass) takenDestination(ctx context.Context) (string, error) {
	seen := map[destination]bool{}
	for _, d := range p.destinations() {
		d.key = ""
		if seen[d] {
			continue
		}
		seen[d] = true
		object := (&stored{secret: d.secret}).object("")
		err := p.live.Get(ctx, types.NamespacedName{Namespace: p.exec.Namespace, Name: d.name}, object)
		if client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("reading %s: %w", d.name, err)
		}
		if err == nil && isOfEarlier(object, p.exec) {
			return "", &leavingError{(&stored{secret: d.secret, name: d.name}).leaving()}
		}
		if err == nil && !metav1.IsControlledBy(object, p.exec) {
			return (&stored{secret: d.secret, name: d.name}).taken(), nil
		}
	}
	return "", nil
}

// leavingError is an object in the way that the garbage collector is about to delete.
type leavingError struct{ message string }

// Error implements error.
func (e *leavingError) Error() string { return e.message }

// isOfEarlier says that the object was made by a run of the same name which is gone, as where a manifest is replaced.
func isOfEarlier(object client.Object, exec *v1alpha1.SandboxExec) bool {
	owner := metav1.GetControllerOf(object)
	return owner != nil && owner.Kind == "SandboxExec" && owner.Name == exec.Name && owner.UID != exec.UID
}

func (s *stored) leaving() string {
	return fmt.Sprintf("%s %q is that of an earlier run of this name, and is being deleted with it",
		destination{secret: s.secret}.kind(), s.name)
}
