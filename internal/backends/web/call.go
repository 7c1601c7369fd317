// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Call is one request whose answer is read whole.
type Call struct {
	// Operation for errors, such as "create".
	Operation string
	// Method and URL of the request, and headers beside the client's.
	Method, URL string
	Header      http.Header
	// Body is sent as JSON; nil = no body. An io.Reader is sent as it is.
	Body any
	// Effect says that the provider may have changed something when it was asked and no answer came: that is Ambiguous then, not
	// Unavailable.
	Effect bool
	// Limit is the most bytes of the answer; 0 = DefaultLimit. A longer one is no proper answer.
	Limit int64
}

// DefaultLimit of an answer, in bytes. A page of a hundred sandboxes with full metadata stays far below it.
const DefaultLimit = 16 << 20

// Answer is what the provider said, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK says whether the status is one of success.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// Call makes the request. Its errors are *backends.Error, of calls that got no proper answer; what a status means is the
// caller's to say.
func (c *Client) Call(ctx context.Context, call Call) (Answer, error) {
	request, err := newRequest(ctx, call)
	if err != nil {
		return Answer{}, backends.Errorf(backends.Invalid, c.options.Backend, call.Operation, "the request can't be made: %w", err)
	}
	response, err := c.Do(request, call.Operation, call.Effect)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	limit := call.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	answer := Answer{Status: response.StatusCode, Header: response.Header, Body: body}
	switch {
	case err != nil:
		return answer, c.Trouble(call.Operation, err, call.Effect)
	case int64(len(body)) > limit:
		return answer, backends.Errorf(codeOf(call.Effect), c.options.Backend, call.Operation,
			"the provider's answer is longer than %d bytes", limit)
	}
	return answer, nil
}

func newRequest(ctx context.Context, call Call) (*http.Request, error) {
	var body io.Reader
	kind := ""
	switch given := call.Body.(type) {
	case nil:
	case io.Reader:
		body = given
	default:
		encoded, err := json.Marshal(given)
		if err != nil {
			return nil, err
		}
		body, kind = bytes.NewReader(encoded), "application/json"
	}
	request, err := http.NewRequestWithContext(ctx, call.Method, call.URL, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for name, values := range call.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	return request, nil
}

// Do sends a request whose answer the caller reads, and closes. Its errors are as those of Call.
func (c *Client) Do(request *http.Request, operation string, effect bool) (*http.Response, error) {
	ctx, sent := Track(request.Context())
	response, err := c.http.Do(request.WithContext(ctx))
	if err != nil {
		return nil, c.Trouble(operation, err, effect && sent())
	}
	return response, nil
}

// Decode reads the JSON of an answer. One that is not as it should be is Unavailable, or Ambiguous after an effect.
func (c *Client) Decode(operation string, answer Answer, effect bool, into any) error {
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return backends.Errorf(codeOf(effect), c.options.Backend, operation, "the provider's answer is not the JSON that it should be")
	}
	return nil
}

func codeOf(effect bool) backends.Code {
	if effect {
		return backends.Ambiguous
	}
	return backends.Unavailable
}

// RetryAfter is the delay that an answer asks for by any of the named headers, in seconds or as a time; 0 = none. No name = Retry-After.
func RetryAfter(header http.Header, now time.Time, names ...string) time.Duration {
	for _, name := range append(names, "Retry-After") {
		value := strings.TrimSpace(header.Get(name))
		if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 && seconds < maxRetryAfter.Seconds() {
			return time.Duration(seconds * float64(time.Second))
		}
		if at, err := http.ParseTime(value); err == nil && at.After(now) {
			return min(at.Sub(now), maxRetryAfter)
		}
	}
	return 0
}

// maxRetryAfter is the longest delay that is believed: nobody can put an account to sleep for days.
const maxRetryAfter = time.Hour
