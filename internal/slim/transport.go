// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package slim

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// Transport makes lists and watches of this operator's kinds slim. It is for a cache alone, whose transform leaves out the same: who
// else reads through it must not write back what it has read.
func Transport(next http.RoundTripper) http.RoundTripper { return &transport{next} }

type transport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK || !isOfMany(request) || !isPlainJSON(response) {
		return response, err
	}
	response.Body = newReader(response.Body)
	response.ContentLength = -1
	response.Header.Del("Content-Length")
	return response, nil
}

// NewCache is cache.New for a cache whose transform leaves out the same.
func NewCache(config *rest.Config, options cache.Options) (cache.Cache, error) {
	config = rest.CopyConfig(config)
	if config.UserAgent == "" {
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	config.Wrap(Transport)
	var err error
	if options.HTTPClient, err = rest.HTTPClientFor(config); err != nil {
		return nil, fmt.Errorf("making the client of the cache: %w", err)
	}
	return cache.New(config, options)
}

// WrappedRoundTripper is how client-go finds what is below, to close idle connections.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.next }

// isOfMany says that a request lists or watches Sandboxes or SandboxExecs.
func isOfMany(request *http.Request) bool {
	path := request.URL.Path
	return request.Method == http.MethodGet && strings.Contains(path, "/apis/"+v1alpha1.GroupVersion.String()+"/") &&
		(strings.HasSuffix(path, "/sandboxes") || strings.HasSuffix(path, "/sandboxexecs"))
}

func isPlainJSON(response *http.Response) bool {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return err == nil && kind == "application/json" && response.Header.Get("Content-Encoding") == ""
}

// reader reads one value after another of a body: the one of a list, or the events of a watch.
type reader struct {
	body   *remembering
	values *jsontext.Decoder
	buffer []byte
	// left is what of the buffer was not read yet.
	left []byte
}

func newReader(body io.ReadCloser) *reader {
	r := &reader{body: &remembering{ReadCloser: body}}
	r.values = jsontext.NewDecoder(r.body, lenient...)
	return r
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.left) == 0 {
		whole, err := r.values.ReadValue()
		if err != nil {
			if r.body.err != nil && r.body.err != io.EOF { //nolint:errorlint // io.EOF is never wrapped
				// Clients tell the errors of connections apart by their types.
				return 0, r.body.err
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, io.ErrUnexpectedEOF
			}
			return 0, err
		}
		r.buffer = append(value(r.buffer[:0], whole), '\n')
		r.left = r.buffer
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.body.Close() }

// remembering keeps the error of a body as it was.
type remembering struct {
	io.ReadCloser

	err error
}

// Read implements io.Reader.
func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil {
		r.err = err
	}
	return n, err
}
